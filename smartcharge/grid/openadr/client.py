"""An OpenADR 3 server over HTTPS: a token by client credentials, whole lists page by page, reports back."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from smartcharge.clock import now_s
from smartcharge.errors import SourceError
from smartcharge.grid.openadr.hints import Broker, broker_of
from smartcharge.grid.openadr.settings import OpenAdrSettings
from smartcharge.grid.skew import skew_s

PAGE = 50
"""Entries asked for at a time: all that 3.0.1 allows."""
MOST_PAGES = 1000
UNSAID_LIFE_S = 300.0
"""How long a token lives whose server does not say [s]."""
TIMEOUT_S = 15.0
MOST_BYTES = 16 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class _Token:
    text: str
    expires_s: float


class OpenAdrClient:
    """A connection to one server; every method raises SourceError, in words, if it gets no good answer."""

    def __init__(self, settings: OpenAdrSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http
        self._token: _Token | None = None
        self.skew_s: float | None = None
        """How far the server's clock is ahead of ours [s], by its last answer; whole seconds."""

    @classmethod
    def to(cls, settings: OpenAdrSettings) -> Self:
        """Return a client; raises OSError if the authority's certificate cannot be used."""
        verify = ssl.create_default_context(cafile=settings.tls_ca)
        return cls(settings, httpx.AsyncClient(verify=verify, timeout=TIMEOUT_S))

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def program_id(self, name: str) -> str:
        """Return the id of a program."""
        for program in await self._list("/programs", {}):
            if program.get("programName") == name:
                return str(program.get("id"))
        raise SourceError(f"the server has no program {name!r}")

    async def events(self, program_id: str | None) -> list[dict[str, Any]]:
        """Return every event of a program, or of all; what is ours or current is for the caller to see."""
        query = {} if program_id is None else {"programID": program_id}
        return await self._list("/events", query | self._targets())

    async def report(self, body: Mapping[str, Any]) -> None:
        """Send a report."""
        await self._ask("POST", "/reports", {"json": dict(body)})

    async def subscribe(self, callback_url: str, token: str, program_id: str | None) -> None:
        """Ask for a notification of every change of events; what we asked for in an earlier life is taken back."""
        for old in await self._list("/subscriptions", {"clientName": self._settings.ven_name}):
            asked = old.get("objectOperations") or [{}]
            if any(isinstance(one, dict) and one.get("callbackUrl") == callback_url for one in asked):
                await self._ask("DELETE", f"/subscriptions/{old.get('id')}", {})
        is_new = self._settings.version == "3.1.0"
        wanted = {
            "objects": ["EVENT"],
            "operations": ["CREATE", "UPDATE", "DELETE"] if is_new else ["POST", "PUT", "DELETE"],
            "callbackUrl": callback_url,
            "bearerToken": token,
        }
        body: dict[str, Any] = {"clientName": self._settings.ven_name, "objectOperations": [wanted]}
        if program_id is not None:
            body["programID"] = program_id
        await self._ask("POST", "/subscriptions", {"json": body})

    async def broker(self, program_id: str | None) -> Broker:
        """Return the MQTT broker on which the server notifies of changes of events (3.1.0)."""
        events = "/events" if program_id is None else f"/programs/{program_id}/events"
        notifiers = await self._ask("GET", "/notifiers", {})
        topics = await self._ask("GET", f"/notifiers/mqtt/topics{events}", {})
        return broker_of(_json(notifiers), _json(topics), await self._bearer())

    def _targets(self) -> dict[str, Any]:
        targets = list(self._settings.targets)
        if not targets:
            return {}
        is_new = self._settings.version == "3.1.0"
        return {"targets": targets} if is_new else {"targetType": "VEN_NAME", "targetValues": targets}

    async def _list(self, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        """Return every entry of a list, once each, also from a server that does not know what a page is."""
        found: dict[str, dict[str, Any]] = {}
        for page in range(MOST_PAGES):
            answer = await self._ask("GET", path, {"params": {**query, "skip": page * PAGE, "limit": PAGE}})
            entries = _json(answer)
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise SourceError(f"{path} is no list of objects")
            fresh = [entry for entry in entries if str(entry.get("id")) not in found]
            found |= {str(entry.get("id")): entry for entry in fresh}
            if len(entries) < PAGE or not fresh:
                return list(found.values())
        raise SourceError(f"{path} has more than {MOST_PAGES} pages")

    async def _ask(self, method: str, path: str, more: dict[str, Any]) -> httpx.Response:
        answer = await self._send(method, path, await self._bearer(), more)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._token = None  # it may have been taken back before its time
            answer = await self._send(method, path, await self._bearer(), more)
        if not answer.is_success:
            raise SourceError(f"{method} {path}: {answer.status_code}")
        return answer

    async def _send(self, method: str, path: str, token: str, more: dict[str, Any]) -> httpx.Response:
        answer = await self._http_request(
            method, f"{self._settings.url}{path}", {**more, "headers": {"Authorization": f"Bearer {token}"}}
        )
        self.skew_s = skew_s(answer.headers)
        return answer

    async def _http_request(self, method: str, url: str, more: dict[str, Any]) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, **more)
        except httpx.HTTPError as error:
            raise SourceError(f"{url}: {type(error).__name__}: {error}") from error
        if len(answer.content) > MOST_BYTES:
            raise SourceError(f"{url}: answered more than {MOST_BYTES} bytes")
        return answer

    async def _bearer(self) -> str:
        if self._token is None or self._token.expires_s <= now_s():
            self._token = await self._new_token()
        return self._token.text

    async def _new_token(self) -> _Token:
        settings = self._settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
        }
        url = settings.token_url or await self._token_url()
        answer = await self._http_request("POST", url, {"data": form})
        body = _json(answer) if answer.is_success else None
        if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
            raise SourceError(f"no token from {url}: {answer.status_code}")
        life = body.get("expires_in")
        life_s = float(life) if isinstance(life, int | float) and life > 0 else UNSAID_LIFE_S
        return _Token(text=body["access_token"], expires_s=now_s() + 0.9 * life_s)

    async def _token_url(self) -> str:
        if self._settings.version == "3.0.1":
            return f"{self._settings.url}/auth/token"
        answer = await self._http_request("GET", f"{self._settings.url}/auth/server", {})
        body = _json(answer) if answer.is_success else None
        if not isinstance(body, dict) or not isinstance(body.get("tokenURL"), str):
            raise SourceError(f"/auth/server does not tell where tokens are: {answer.status_code}")
        url = body["tokenURL"]
        if not url.startswith("https://") and self._settings.url.startswith("https://"):
            raise SourceError("/auth/server tells of a place without TLS: the secret is not sent there")
        return str(url)


def _json(answer: httpx.Response) -> object:
    try:
        value: object = answer.json()
    except ValueError as error:
        raise SourceError(f"{answer.url.path}: not JSON: {error}") from error
    return value
