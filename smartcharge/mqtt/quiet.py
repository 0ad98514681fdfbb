"""A client for connections without keepalive, as simulated time needs."""

from __future__ import annotations

from aiomqtt import Client


class QuietClient(Client):
    """A client that is not woken every second: without keepalive paho has nothing to do then.

    In simulated time, which jumps from one wake-up to the next, that is 86,400 wake-ups a day saved.
    """

    async def _misc_loop(self) -> None:
        """Do nothing, instead of what aiomqtt's own does every second."""
