"""Notifications over the MQTT broker of an OpenADR 3.1.0 server: hints that something changed, never read."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from aiomqtt import Client, MqttError
from pydantic import Field, ValidationError

from smartcharge.errors import SourceError
from smartcharge.grid.openadr.messages import Message

_HERE = ("localhost", "127.0.0.1", "::1")
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Authentication(Message):
    """How a client logs in."""

    method: Literal["ANONYMOUS", "OAUTH2_BEARER_TOKEN"]
    username: str | None = None


class Binding(Message):
    """Where the broker is, and how a client logs in (3.1.0, GET /notifiers)."""

    uris: Annotated[list[str], Field(alias="URIS", min_length=1)]
    authentication: Authentication


class Notifiers(Message):
    """The ways in which a server notifies."""

    mqtt: Binding | None = Field(default=None, alias="MQTT")


class Topics(Message):
    """The topics of each operation on events (3.1.0, GET /notifiers/mqtt/topics/...)."""

    topics: dict[str, str]

    def filters(self) -> list[str]:
        """Return what to subscribe to: the one topic of all operations, or each."""
        return [self.topics["ALL"]] if "ALL" in self.topics else sorted(set(self.topics.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker that notifies."""

    host: str
    port: int
    is_encrypted: bool
    username: str | None
    password: str | None
    filters: Sequence[str]


def broker_of(notifiers: object, topics: object, token: str) -> Broker:
    """Return the broker that a server tells of; raises SourceError if it has none that can be used safely.

    Without TLS, which a bearer token must not cross a network without, it is used on this machine alone.
    """
    try:
        binding = Notifiers.model_validate(notifiers).mqtt
        filters = Topics.model_validate(topics).filters()
    except ValidationError as error:
        raise SourceError(f"its notifiers are not understood: {error.errors(include_url=False)[0]['msg']}") from error
    if binding is None or not filters:
        raise SourceError("it does not notify over MQTT")
    for uri in binding.uris:
        parts = urlsplit(uri)
        if parts.scheme in _PORTS and parts.hostname and (parts.scheme == "mqtts" or parts.hostname in _HERE):
            return Broker(
                host=parts.hostname, port=parts.port or _PORTS[parts.scheme], is_encrypted=parts.scheme == "mqtts",
                username=binding.authentication.username,
                password=token if binding.authentication.method == "OAUTH2_BEARER_TOKEN" else None, filters=filters,
            )  # fmt: skip
    raise SourceError(f"none of its brokers can be used safely: {', '.join(binding.uris)}")


async def listen(broker: Broker, tls_ca: Path | None, on_hint: Callable[[], None]) -> None:
    """Call for every notification until the connection ends; raises SourceError when it does."""
    tls = ssl.create_default_context(cafile=tls_ca) if broker.is_encrypted else None
    username = broker.username or ("" if broker.password is not None else None)
    client = Client(broker.host, broker.port, username=username, password=broker.password, tls_context=tls)
    try:
        async with client:
            for topic in broker.filters:
                await client.subscribe(topic, qos=1)
            on_hint()  # what changed before it was listened for
            async for _ in client.messages:
                on_hint()
    except (MqttError, OSError) as error:
        raise SourceError(f"{broker.host}:{broker.port}: {error}") from error
