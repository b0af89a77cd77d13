"""What Apple is told, and what its answers mean. Contract: tests/contract/test_apns_gateway.py."""

import json
import ssl
import tempfile
import time
from dataclasses import replace

import pytest
import trio

from appmodel.io.outbound import SystemResolver
from tests.web.gateways.apns_case import AUTHORITY, PATIENCE, opened
from tests.web.gateways.apple import TOPIC, Apple, apple_error, device_token
from tests.web.gateways.h2_server import serving
from web.core.notifications import ApnsStyle, Device, Notification
from web.gateways.apns import ApnsGateway, ApnsOptions
from web.gateways.apns_token import TOKEN_AGE, TOKEN_LIFE
from web.gateways.credentials import ApnsCertificate, parse_credential
from web.gateways.interface import DELIVERED, Kind, Receipt
from web.gateways.island import Island


class Clock:
    """Real time, and a bit more or less."""

    def __init__(self, offset: float) -> None:
        self.offset = offset

    def __call__(self) -> float:
        return time.time() + self.offset


async def test_a_notification_says_what_apple_wants_to_know() -> None:
    """Topic, priority, expiry, collapse id; badge and message id are in the payload."""
    async with opened() as case:
        assert await case.send(expires_at=1e9, priority=5) == DELIVERED

        (asked,) = case.server.asked
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

        assert case.server.asked[0].headers["apns-expiration"] == "0"


async def test_a_wrong_environment_forgets_nobody() -> None:
    """BadDeviceToken says nothing of the phone until Apple has taken anything of this credential."""
    bad = apple_error(400, "BadDeviceToken")
    async with opened() as case:
        case.apple.said[device_token(2)] = bad

        before = await case.send(2)
        await case.send(1)
        after = await case.send(2)

        assert before == Receipt(Kind.REFUSED, "BadDeviceToken")
        assert after == Receipt(Kind.GONE, "BadDeviceToken")


@pytest.mark.parametrize(
    "token", ["", "x", "../../v1", "ab/cd", "ab\r\nx: y", "ab cd", "é", "a" * 201]
)
async def test_what_cannot_be_a_token_never_gets_near_a_path(token: str) -> None:
    """It comes from a client."""
    device = Device(provider="apns", token=token, user_id="u", device_id="d", registered_at=1)
    async with opened() as case:
        hello = Notification(message_id=7, user_id="u1", title="Ann", text="hi")

        receipt = await case.gateway.send(device, hello, None)

        assert receipt == Receipt(Kind.GONE, "BadDeviceToken")
        assert case.server.asked == []


async def test_an_expired_token_is_signed_again() -> None:
    """Once; what was under way with the old one is tried again, too."""
    clock = Clock(-2 * 3600.0)
    async with opened(now=clock) as case:
        kinds = [(await case.send()).kind]  # signed two hours ago
        clock.offset = 0
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                kinds.append((await case.send()).kind)

            for _ in range(5):
                nursery.start_soon(send)

        assert await case.send() == DELIVERED
        assert Kind.MISCONFIGURED not in kinds
        assert len(case.apple.tokens) == 2


async def test_a_young_token_that_is_expired_means_a_wrong_clock() -> None:
    """Signing again and again would only be refused."""
    async with opened(now=Clock(-2 * 3600.0)) as case:
        receipts = [await case.send() for _ in range(3)]

        assert receipts[-1] == Receipt(Kind.MISCONFIGURED, "ExpiredProviderToken")
        assert len(case.apple.tokens) == 1


async def test_a_token_serves_for_a_while() -> None:
    """Not less than Apple wants it kept, not more than Apple takes it."""
    clock = Clock(0)
    assert TOKEN_AGE < TOKEN_LIFE < 3600
    async with opened(now=clock) as case:
        for offset in (0, TOKEN_LIFE / 2, TOKEN_LIFE - 60):
            clock.offset = offset
            await case.send()
        assert len(case.apple.tokens) == 1

        clock.offset = TOKEN_LIFE + 1
        await case.send()
        assert len(case.apple.tokens) == 2


async def test_another_teams_key_is_a_wrong_credential() -> None:
    """As Apple says it."""
    theirs = Apple()
    async with opened(replace(theirs)) as case:
        theirs.server = case.server
        case.apple.key = Apple().key  # Apple knows another one now

        assert await case.send() == Receipt(Kind.MISCONFIGURED, "InvalidProviderToken")


async def test_a_certificate_proves_it_without_a_token() -> None:
    """Its topic is in its subject; no authorization header is sent."""
    credential = parse_credential(
        "apns",
        "certificate",
        topic="",
        environment="sandbox",
        content=AUTHORITY.issue("Apple Push Services", uid=TOPIC),
    )
    assert isinstance(credential, ApnsCertificate)
    assert (credential.topic, credential.sandbox) == (TOPIC, True)
    tls = AUTHORITY.client_context()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(credential.pem)
        file.flush()
        tls.load_cert_chain(file.name)
    apple, island = Apple(), Island()
    async with serving(apple.server, AUTHORITY.server_context(ask_client=True)) as server:
        gateway = ApnsGateway(credential, island, options(server.port), tls, None, SystemResolver())
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            device = Device(
                provider="apns", token=device_token(), user_id="u", device_id="", registered_at=0
            )
            hello = Notification(message_id=7, user_id="u", title="Ann", text="hi")
            with trio.fail_after(PATIENCE):
                assert await gateway.send(device, hello, None) == DELIVERED
                await gateway.aclose()
            nursery.cancel_scope.cancel()

    assert apple.server.asked[0].certified
    assert "authorization" not in apple.server.asked[0].headers


async def test_a_server_that_nobody_vouches_for_gets_nothing() -> None:
    """Neither the token nor what was said."""
    apple, island = Apple(), Island()
    credential = parse_credential(
        "apns",
        "certificate",
        topic=TOPIC,
        environment="sandbox",
        content=AUTHORITY.issue("x"),
    )
    assert isinstance(credential, ApnsCertificate)
    async with serving(apple.server, AUTHORITY.server_context()) as server:
        gateway = ApnsGateway(
            credential,
            island,
            options(server.port),
            ssl.create_default_context(),
            None,
            SystemResolver(),
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            device = Device(
                provider="apns", token=device_token(), user_id="u", device_id="", registered_at=0
            )
            hello = Notification(message_id=7, user_id="u", title="Ann", text="hi")
            with trio.fail_after(PATIENCE):
                receipt = await gateway.send(device, hello, None)
            nursery.cancel_scope.cancel()

    assert receipt.kind is Kind.RETRY
    assert "CERTIFICATE_VERIFY_FAILED" in receipt.reason
    assert apple.server.asked == []
    assert island.faults == 0


def options(port: int) -> ApnsOptions:
    """Of Apple on loopback."""
    return ApnsOptions(
        host="localhost",
        port=port,
        timeout=PATIENCE,
        max_connections=1,
        idle_timeout=60,
        style=ApnsStyle(),
    )
