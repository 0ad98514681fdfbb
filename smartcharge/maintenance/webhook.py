"""Work orders to a maintenance system: one HTTP POST for each change, repeated until it is taken."""

from __future__ import annotations

import asyncio
import json
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from smartcharge.maintenance.work_orders import WorkOrder, said

TIMEOUT_S: Final = 10.0


class Webhook:
    """A `foreman.Listener` that posts JSON.

    ``line`` counts up and never repeats for another change, so a receiver that sees one twice knows it.
    """

    name = "webhook"

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._token = token

    async def hear(self, number: int, order: WorkOrder) -> None:
        """Post a work order; raises OSError unless the answer is 2xx."""
        await asyncio.to_thread(self._post, json.dumps({"line": number, **said(order)}).encode())

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) by the site file
        try:
            with urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                pass
        except HTTPError as error:  # an answer of 4xx or 5xx, still open
            error.close()
            raise OSError(f"HTTP {error.code}: {error.reason}") from None
