"""A gateway to the push service of a browser, on loopback."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from appmodel.io.outbound import Outbound
from tests.web.gateways.browser import Browser
from tests.web.gateways.fcm_case import AUTHORITY, limits
from tests.web.gateways.h2_server import Action, H2Server, Reply, serving
from web.core.notifications import Device, Notification
from web.gateways.credentials import VapidKey, parse_credential
from web.gateways.interface import Receipt
from web.gateways.webpush import WebPushGateway


@dataclass
class WebPushCase:
    """A browser, and a gateway to its push service."""

    browser: Browser
    gateway: WebPushGateway

    @property
    def server(self) -> H2Server:
        return self.browser.server

    def device(self, number: int = 1) -> Device:
        return Device(
            provider="webpush",
            token=self.browser.subscription(number),
            user_id="u1",
            device_id="d1",
            registered_at=1.0,
        )

    def say(self, reply: Reply | Action | None) -> None:
        self.browser.always = reply

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(self.browser.read(asked)) for asked in self.server.asked]

    async def send(self, number: int = 1, **fields: Any) -> Receipt:
        """Ann says hi to a browser."""
        values = {"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
        return await self.gateway.send(self.device(number), Notification(**values), 3)


@asynccontextmanager
async def opened(
    browser: Browser | None = None, *, patience: float = 30, now: Callable[[], float] = time.time
) -> AsyncIterator[WebPushCase]:
    """A gateway until the block ends."""
    browser = browser or Browser()
    credential = parse_credential(
        "webpush", "vapid", topic="", environment="production", content=browser.credential
    )
    assert isinstance(credential, VapidKey)
    async with serving(browser.server, AUTHORITY.server_context()):
        outbound = Outbound(limits(patience), tls=AUTHORITY.client_context())
        gateway = WebPushGateway(credential, outbound, now)
        try:
            yield WebPushCase(browser, gateway)
        finally:
            with trio.CancelScope(shield=True):
                await gateway.aclose()
