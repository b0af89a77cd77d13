"""What push services and browsers get. Contract: tests/contract/test_webpush_gateway.py."""

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appmodel.core.base64url import decode_base64url, encode_base64url
from appmodel.core.subscriptions import Subscription, parse_subscription
from appmodel.errors import BadInput
from appmodel.io.outbound import Outbound, OutboundLimits
from tests.web.gateways.browser import Browser
from tests.web.gateways.webpush_case import opened
from web.core.notifications import Device, Notification
from web.gateways.credentials import VapidKey, parse_credential
from web.gateways.interface import DELIVERED, Kind
from web.gateways.webpush import Vapid, WebPushGateway, encrypt

HELLO = Notification(message_id=7, user_id="u1", title="Ann", text="hi")


async def test_only_the_browser_can_read_it() -> None:
    """What the push service has is encrypted, each time with another key."""
    async with opened() as case:
        assert await case.send(custom={"room": "r1"}) == DELIVERED
        assert await case.send(custom={"room": "r1"}) == DELIVERED

        first, second = case.server.asked
        wanted = {"title": "Ann", "text": "hi", "mid": 7, "badge": 3, "room": "r1"}
        assert json.loads(case.browser.read(first)) == wanted
        assert first.body != second.body
        assert b"hi" not in first.body


async def test_the_push_service_hears_how_long_and_how_urgent() -> None:
    """RFC 8030: TTL, Urgency, and a Topic that replaces."""
    async with opened() as case:
        await case.send(expires_at=time.time() + 600, priority=10)
        await case.send(priority=5)

        urgent, calm = (asked.headers for asked in case.server.asked)
        assert (urgent["urgency"], calm["urgency"]) == ("high", "normal")
        assert 0 < int(urgent["ttl"]) <= 600
        assert calm["ttl"] == "0"
        assert urgent["topic"] == calm["topic"]


async def test_the_longest_notification_fits() -> None:
    """4,096 bytes with all that encryption adds; the push service of the tests refuses more."""
    async with opened() as case:
        assert await case.send(text="x" * 5000) == DELIVERED

        assert 4000 < len(case.server.asked[0].body) <= 4096


async def test_a_signature_serves_its_push_service_for_a_while() -> None:
    """One of ES256 costs more than all else."""
    async with opened() as case:
        await case.send(1)
        await case.send(2)

        first, second = (asked.headers["authorization"] for asked in case.server.asked)
        assert first == second


async def test_endpoints_without_end_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients name them; what is kept of each service is bounded."""
    monkeypatch.setattr("web.gateways.webpush.MAX_SERVICES", 2)
    vapid = Vapid(key(away()), time.time)

    for number in range(10):
        assert vapid.header(f"https://push{number}.example/x").startswith("vapid t=")

    assert len(vapid._headers) <= 2


async def test_another_key_is_a_wrong_credential() -> None:
    """The browser subscribed for the first one."""
    async with opened() as case:
        case.browser.vapid = ec.generate_private_key(ec.SECP256R1())

        assert (await case.send()).kind is Kind.MISCONFIGURED


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/push",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]:8094/",
        "http://push.example/x",
    ],
)
async def test_an_endpoint_that_leads_inside_is_refused(endpoint: str) -> None:
    """A client has named it; nothing is sent, and nothing of it is shown but its origin."""
    browser = away()
    told = json.loads(browser.subscription())
    device = Device(
        provider="webpush",
        token=json.dumps({**told, "endpoint": endpoint}),
        user_id="u1",
        device_id="d",
        registered_at=0,
    )
    async with Outbound(OutboundLimits()) as outbound:
        gateway = WebPushGateway(key(browser), outbound)

        receipt = await gateway.send(device, HELLO, None)

        assert receipt.kind is Kind.REFUSED
        assert "meta-data" not in receipt.reason


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "nonsense"},
        {"keys": {}},
        {"keys": {"p256dh": "AAAA", "auth": "AAAA"}},
        {"keys": {"p256dh": encode_base64url(b"\4" * 65), "auth": encode_base64url(b"a" * 16)}},
    ],
)
async def test_a_subscription_that_cannot_work_is_gone(change: dict[str, object]) -> None:
    """Whoever stored it: no browser has it."""
    browser = away()
    told = json.loads(browser.subscription())
    device = Device(
        provider="webpush",
        token=json.dumps({**told, **change}),
        user_id="u1",
        device_id="d",
        registered_at=0,
    )
    async with Outbound(OutboundLimits()) as outbound:
        receipt = await WebPushGateway(key(browser), outbound).send(device, HELLO, None)

    assert receipt.kind is Kind.GONE


def away() -> Browser:
    """A browser whose push service does not run."""
    browser = Browser()
    browser.server.port = 8443
    return browser


def key(browser: Browser) -> VapidKey:
    """What the browser subscribed for."""
    found = parse_credential(
        "webpush", "vapid", topic="", environment="production", content=browser.credential
    )
    assert isinstance(found, VapidKey)
    return found


def test_encryption_is_that_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8291 appendix A, byte for byte: salt and key are given there."""
    server = decode_base64url("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "as_private")
    salt = decode_base64url("DGv6ra1nlYgDCS1FRnbzlw", "salt")
    subscription = Subscription(
        "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
        decode_base64url(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "ua_public",
        ),
        decode_base64url("BTBZMqHH6r4Tts7J_aSIgg", "auth"),
    )
    private = ec.derive_private_key(int.from_bytes(server), ec.SECP256R1())
    monkeypatch.setattr("web.gateways.webpush.os.urandom", lambda size: salt)
    monkeypatch.setattr("web.gateways.webpush.ec.generate_private_key", lambda curve: private)

    found = encrypt(b"When I grow up, I want to be a watermelon", subscription)

    assert encode_base64url(found) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml"
        "mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_what_a_browser_gives_is_parsed() -> None:
    """And what is wrong in it is named without its secrets."""
    browser = away()

    found = parse_subscription(browser.subscription())

    assert found.endpoint.endswith("/push/1")
    assert (len(found.key), len(found.auth)) == (65, 16)
    with pytest.raises(BadInput, match=r"sub\.keys\.auth: .*16 bytes") as refusal:
        parse_subscription(browser.subscription().replace('"auth": "', '"auth": "AAAA'), "sub")
    assert found.endpoint not in str(refusal.value)
