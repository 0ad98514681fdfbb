"""``smartcharge faults`` and ``smartcharge order``: what is done about faults, and what a person decides about one."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import typer
from aiomqtt import Client, MqttError
from pydantic import ValidationError

from smartcharge.config import load
from smartcharge.control.health.table import page
from smartcharge.errors import ConfigError, SourceError
from smartcharge.faults import OrderKind
from smartcharge.mqtt.payloads import FaultDecision, FaultDecisionReceived, Refusal
from smartcharge.mqtt.settings import MqttSettings
from smartcharge.mqtt.topics import Topics

ANSWER_S: Final = 10.0
"""How long the controller may take to answer [s]."""


def faults() -> None:
    """Print the table of faults: how each is known, what is done about it, what clears it, who has to come.

    Example: `smartcharge faults | less`
    """
    typer.echo(page(), nl=False)


def order(  # noqa: PLR0913 - one parameter an option
    site: Annotated[Path, typer.Argument(metavar="SITE", help="Site file (TOML).")],
    evse: Annotated[str, typer.Argument(metavar="EVSE")],
    kind: Annotated[OrderKind, typer.Argument(metavar="KIND", help="release, force, mute or acknowledge.")],
    cause: Annotated[str, typer.Argument(metavar="CAUSE", help="As `smartcharge faults` names it.")],
    *,
    author: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    limit_a: Annotated[float | None, typer.Option(min=0.0, help="Of a forced derate; 0 if not given.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="End of a mute, with its offset.")] = None,
) -> None:
    """Decide about a fault of an EVSE: release or force a derate, mute, acknowledge; written to the journal.

    It goes to the running controller over the broker in the site file, and returns once that has written it down.

    Example: `smartcharge order sites/depot.toml van-07 release connector-hot --author Ada --reason "cleaned"`
    """
    settings = load(site)
    if settings.mqtt is None:
        raise ConfigError(f"{site}: mqtt: is missing: orders go to the controller over the broker")
    if evse not in {one.id for one in settings.site.evses}:
        raise ConfigError(f"{site}: there is no EVSE {evse}")
    said = {"kind": kind.value, "cause": cause, "author": author, "reason": reason, "limit_a": limit_a, "until": until}
    try:
        decision = FaultDecision.model_validate({"id": str(uuid4()), **said})
    except ValidationError as error:
        reasons = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors(include_url=False))
        raise typer.BadParameter(reasons) from error
    asyncio.run(_send(settings.mqtt, Topics(settings.mqtt.prefix, settings.site.id), evse, decision))
    typer.echo(f"{evse}: {kind.value} {cause}: written down")


async def _send(settings: MqttSettings, topics: Topics, evse: str, decision: FaultDecision) -> None:
    """Publish a decision and wait until it is written down; raises SourceError if it is refused or nobody answers."""
    try:
        async with asyncio.timeout(ANSWER_S), _client(settings) as client:
            received = topics.written("fault order received", evse=evse)
            asked = topics.read("fault order", evse=evse)
            await client.subscribe([(received, 1), (topics.written("errors"), 1)])
            await client.publish(asked, decision.model_dump_json(exclude_none=True), qos=1)
            async for message in client.messages:
                text = bytes(message.payload)
                if (
                    message.topic.matches(received)
                    and FaultDecisionReceived.model_validate_json(text).id == decision.id
                ):
                    return
                if (
                    not message.topic.matches(received)
                    and (refusal := Refusal.model_validate_json(text)).topic == asked
                ):
                    raise SourceError(f"refused: {refusal.field}: {refusal.reason}")
    except TimeoutError as error:
        raise SourceError(f"no controller answered within {ANSWER_S:.0f} s") from error
    except MqttError as error:
        raise SourceError(f"broker {settings.host}:{settings.port}: {error}") from error


def _client(settings: MqttSettings) -> Client:
    tls = ssl.create_default_context(cafile=settings.tls_ca) if settings.tls else None
    if tls is not None and settings.tls_cert is not None:
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)
    return Client(settings.host, settings.port, username=settings.username, password=settings.password, tls_context=tls)
