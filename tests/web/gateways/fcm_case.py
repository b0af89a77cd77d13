"""A gateway to Google on loopback."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from appmodel.core.units import Duration
from appmodel.io.outbound import Outbound, OutboundLimits
from tests.web.gateways.authority import Authority
from tests.web.gateways.google import Google
from tests.web.gateways.h2_server import Action, H2Server, Reply, serving
from web.core.notifications import Device, Notification
from web.gateways.credentials import ServiceAccount, parse_credential
from web.gateways.fcm import FcmGateway
from web.gateways.interface import Receipt

AUTHORITY = Authority()


def limits(patience: float) -> OutboundLimits:
    """Calls to loopback, that wait for so many seconds."""
    return OutboundLimits(allowed=("localhost",), timeout=Duration(patience))


@dataclass
class FcmCase:
    """Google, and a gateway to it."""

    google: Google
    gateway: FcmGateway

    @property
    def server(self) -> H2Server:
        return self.google.server

    def device(self, number: int = 1) -> Device:
        token = f"fcm-token-{number}:APA91b"
        return Device(provider="fcm", token=token, user_id="u1", device_id="d1", registered_at=1.0)

    def say(self, reply: Reply | Action | None) -> None:
        self.google.always = reply

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body)["message"]["data"] for asked in self.google.messages]

    async def send(self, number: int = 1, **fields: Any) -> Receipt:
        """Ann says hi to a phone."""
        values = {"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
        return await self.gateway.send(self.device(number), Notification(**values), 3)


@asynccontextmanager
async def opened(
    google: Google | None = None, *, patience: float = 30, now: Callable[[], float] = time.time
) -> AsyncIterator[FcmCase]:
    """A gateway until the block ends."""
    google = google or Google()
    async with serving(google.server, AUTHORITY.server_context()):
        credential = parse_credential(
            "fcm",
            "service_account",
            topic="",
            environment="production",
            content=google.credential,
        )
        assert isinstance(credential, ServiceAccount)
        outbound = Outbound(limits(patience), tls=AUTHORITY.client_context())
        gateway = FcmGateway(credential, outbound, google.url, patience=patience, now=now)
        try:
            yield FcmCase(google, gateway)
        finally:
            with trio.CancelScope(shield=True):
                await gateway.aclose()
