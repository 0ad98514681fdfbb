from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from smartcharge.maintenance import desk
from smartcharge.maintenance.desk import Draft
from smartcharge.maintenance.webhook import Webhook
from smartcharge.maintenance.work_orders import orders

LINE = desk.raised([], Draft(title="clean", asset="site", location="row"), "kim", 1e9)


class Receiver(ThreadingHTTPServer):
    """A maintenance system that takes or refuses."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str | None, dict[str, Any]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.headers["Authorization"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestWebhook:
    def test_posts_the_whole_work_order_with_its_token(self, receiver: Receiver) -> None:
        hook = Webhook(f"http://127.0.0.1:{receiver.server_port}/", "secret")
        asyncio.run(hook.hear(7, orders([LINE])[1]))
        ((authorization, body),) = receiver.got
        assert authorization == "Bearer secret"
        assert (body["line"], body["number"], body["status"], body["title"]) == (7, 1, "OPEN", "clean")
        assert body["audit"][0]["what"] == "Raised"

    def test_a_refusal_and_nobody_there_are_told(self, receiver: Receiver) -> None:
        receiver.status = 503
        hook = Webhook(f"http://127.0.0.1:{receiver.server_port}/")
        with pytest.raises(OSError, match="503"):
            asyncio.run(hook.hear(7, orders([LINE])[1]))
        with pytest.raises(OSError, match="refused"):
            asyncio.run(Webhook("http://127.0.0.1:1/").hear(7, orders([LINE])[1]))
