"""Notifications through aioapns, against a server that speaks as Apple does."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from tests.web.gateways.apple import TOPIC, Apple, device_token
from tests.web.gateways.authority import Authority
from tests.web.gateways.h2_server import serving
from web.core.notifications import Device, Notification
from web.gateways.apns import ApnsGateway, ApnsOptions
from web.gateways.apns_token import SharedToken
from web.gateways.credentials import ApnsKey, parse_credential
from web.gateways.interface import DELIVERED, Receipt
from web.gateways.island import Island

PATIENCE = 30.0  # seconds after which a test has failed
AUTHORITY = Authority()


@dataclass
class Case:
    """Apple, and a gateway to it."""

    apple: Apple
    gateway: ApnsGateway
    island: Island

    async def send(self, number: int = 1, **fields: object) -> Receipt:
        return await self.gateway.send(device(number), notification(**fields), 3)


def device(number: int = 1) -> Device:
    """A phone."""
    token = device_token(number)
    return Device(provider="apns", token=token, user_id="u1", device_id="d1", registered_at=1.0)


def notification(**fields: object) -> Notification:
    """Ann says hi."""
    values = {"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
    return Notification(**values)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    apple: Apple | None = None,
    *,
    timeout: float = PATIENCE,
    now: Callable[[], float] = time.time,
    max_connections: int = 1,
    idle_timeout: float = 60,
) -> AsyncIterator[Case]:
    """A gateway to a server on loopback, until the block ends."""
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
            timeout=timeout,
            max_connections=max_connections,
            idle_timeout=idle_timeout,
        )
        island = Island()
        gateway = ApnsGateway(credential, island, options, AUTHORITY.client_context(), token)
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            with trio.fail_after(PATIENCE):
                yield Case(apple, gateway, island)
                await gateway.aclose()
            nursery.cancel_scope.cancel()
        assert island.faults == 0


async def test_a_notification_says_what_apple_wants_to_know() -> None:
    """Topic, priority, expiry, collapse id; the message id is in the payload."""
    async with opened() as case:
        assert await case.send(expires_at=1e9, priority=5) == DELIVERED

        (asked,) = case.apple.server.asked
        wanted = {
            ":method": "POST",
            ":path": f"/3/device/{device_token()}",
            ":authority": "localhost",
            "apns-topic": TOPIC,
            "apns-push-type": "alert",
            "apns-priority": "5",
            "apns-expiration": "1000000000",
            "apns-collapse-id": "7",
        }
        assert wanted.items() <= asked.headers.items()
        assert json.loads(asked.body)["mid"] == 7
        assert json.loads(asked.body)["aps"]["badge"] == 3


async def test_without_a_ttl_it_is_now_or_never() -> None:
    """Apple keeps it for nobody."""
    async with opened() as case:
        await case.send()

        assert case.apple.server.asked[0].headers["apns-expiration"] == "0"
