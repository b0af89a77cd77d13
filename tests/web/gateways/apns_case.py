"""A gateway to Apple on loopback.

async with opened() as case:
    receipt = await case.send()
    case.apple.server.asked
"""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from appmodel.io.outbound import SystemResolver
from tests.web.gateways.apple import TOPIC, Apple, device_token
from tests.web.gateways.authority import Authority
from tests.web.gateways.h2_server import Action, H2Server, Reply, serving
from web.core.notifications import Device, Notification
from web.gateways.apns import ApnsGateway, ApnsOptions
from web.gateways.apns_token import SharedToken
from web.gateways.credentials import ApnsKey, parse_credential
from web.gateways.interface import Receipt
from web.gateways.island import Island

PATIENCE = 30.0  # seconds after which a test has failed
AUTHORITY = Authority()


@dataclass
class ApnsCase:
    """Apple, and a gateway to it."""

    apple: Apple
    gateway: ApnsGateway
    island: Island

    @property
    def server(self) -> H2Server:
        return self.apple.server

    def device(self, number: int = 1) -> Device:
        return Device(
            provider="apns",
            token=device_token(number),
            user_id="u1",
            device_id="d1",
            registered_at=1.0,
        )

    def say(self, reply: Reply | Action | None) -> None:
        self.apple.always = reply

    def delivered(self) -> list[dict[str, Any]]:
        return [json.loads(asked.body) for asked in self.server.asked]

    async def send(self, number: int = 1, **fields: Any) -> Receipt:
        """Ann says hi to a phone."""
        values = {"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
        return await self.gateway.send(self.device(number), Notification(**values), 3)


@asynccontextmanager
async def opened(
    apple: Apple | None = None,
    *,
    patience: float = PATIENCE,
    now: Callable[[], float] = time.time,
    max_connections: int = 1,
    idle_timeout: float = 60,
) -> AsyncIterator[ApnsCase]:
    """A gateway that waits `patience` seconds for an answer, until the block ends."""
    apple = apple or Apple()
    credential = parse_credential(
        "apns", "p8", topic=TOPIC, environment="production", content=apple.credential
    )
    assert isinstance(credential, ApnsKey)
    token = SharedToken(credential.key, credential.key_id, credential.team_id, now)
    async with serving(apple.server, AUTHORITY.server_context()) as server:
        options = ApnsOptions(
            host="localhost",
            port=server.port,
            timeout=patience,
            max_connections=max_connections,
            idle_timeout=idle_timeout,
        )
        island = Island()
        gateway = ApnsGateway(
            credential, island, options, AUTHORITY.client_context(), token, SystemResolver()
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            try:
                yield ApnsCase(apple, gateway, island)
            finally:
                with trio.CancelScope(shield=True):
                    await gateway.aclose()
            nursery.cancel_scope.cancel()
        assert island.faults == 0
