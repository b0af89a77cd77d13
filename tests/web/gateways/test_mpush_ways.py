"""Copies by Web Push and FCM, to a browser's push service and a Google that verify what they are asked."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from appmodel.core.lightpush_records import Hidden
from appmodel.core.message import Stored
from appmodel.core.mpush import Body, write_body
from appmodel.core.mpush_keys import PublicKeys
from appmodel.core.mpush_stores import Receiver, ReceiverKind
from appmodel.errors import ConfigError, Unavailable
from appmodel.runtime.config import MpushConfig, MpushFcmConfig, MpushWebPushConfig
from appmodel.runtime.settings import Settings
from tests.web.gateways.browser import Browser
from tests.web.gateways.fcm_case import AUTHORITY
from tests.web.gateways.google import PROJECT, Google, google_error
from tests.web.gateways.h2_server import H2Server, Reply, serving
from tests.web.world import web_config
from web.core.mpush_copies import Copy, make_copy
from web.gateways.config import NotificationsConfig
from web.gateways.interface import DELIVERED, Kind, Receipt
from web.gateways.mpush_way import Way
from web.gateways.mpush_ways import open_mpush_ways

ID = 1_557_901_952_810_000
CONTACT = "mailto:ops@shop.example"


@dataclass
class Pair:
    """Keys of an installation whose pair is the browser's."""

    pair: ec.EllipticCurvePrivateKey
    trouble: Unavailable | None = None

    async def public(self) -> PublicKeys:
        return PublicKeys()

    async def vapid(self) -> ec.EllipticCurvePrivateKey:
        if self.trouble is not None:
            raise self.trouble
        return self.pair


def copy_of(content: str = "in the cellar", **said: Any) -> Copy:
    body = write_body(Body(content, title="Fire", **said))
    return make_copy("phone", Stored(ID, body, time.time() + 600))


def browser_of(browser: Browser, number: int = 1) -> Receiver:
    """As REGISTER_WEBPUSH keeps it."""
    subscription = json.loads(browser.subscription(number))
    keys = Hidden(json.dumps(subscription["keys"]))
    return Receiver("phone", ReceiverKind.WEBPUSH, subscription["endpoint"], keys)


def phone_of(number: int = 1) -> Receiver:
    return Receiver("phone", ReceiverKind.FCM, f"token{number}", Hidden(""))


def settings_of(tmp_path: Path, google: Google | None = None) -> Settings:
    """Push services are on this machine, and an authority of our own vouches for them."""
    authority = tmp_path / "ca.pem"
    authority.write_text(AUTHORITY.certificate)
    outbound = msgspec.structs.replace(NotificationsConfig().outbound, ca_file=str(authority))
    fcm, url = MpushFcmConfig(), "https://fcm.example"
    if google is not None:
        account = tmp_path / "account.json"
        account.write_text(google.credential)
        fcm = MpushFcmConfig(project_id=PROJECT, credential_file=str(account))
        url = google.url
        outbound = msgspec.structs.replace(outbound, allowed=("localhost",))
    notifications = NotificationsConfig(outbound=outbound, fcm_url=url)
    webpush = MpushWebPushConfig(contact=CONTACT, allowed=("localhost",))
    return Settings.of(
        web=web_config(notifications=notifications),
        mpush=MpushConfig(webpush=webpush, fcm=fcm),
    )


@asynccontextmanager
async def to_browsers(
    browser: Browser, tmp_path: Path, keys: Pair | None = None
) -> AsyncIterator[Way]:
    async with serving(browser.server, AUTHORITY.server_context()):
        settings = settings_of(tmp_path)
        async with open_mpush_ways(settings, keys or Pair(browser.vapid)) as ways:
            assert set(ways) == {ReceiverKind.WEBPUSH}
            yield ways[ReceiverKind.WEBPUSH]


@asynccontextmanager
async def to_phones(google: Google, tmp_path: Path) -> AsyncIterator[Way]:
    async with serving(google.server, AUTHORITY.server_context()):
        settings = settings_of(tmp_path, google)
        async with open_mpush_ways(settings, Pair(ec.generate_private_key(ec.SECP256R1()))) as ways:
            yield ways[ReceiverKind.FCM]


def asked(server: H2Server) -> int:
    return len(server.asked)


async def test_a_browser_gets_the_message_as_the_socket_would(tmp_path: Path) -> None:
    """Encrypted for it alone, signed with the key that it subscribed for; urgent, for as long as it lives."""
    browser, copy = Browser(), copy_of(tags=["home"], priority=5)
    async with to_browsers(browser, tmp_path) as way:
        receipt = await way.bring(browser_of(browser), copy)

    assert receipt == DELIVERED
    [said] = browser.server.asked
    assert browser.read(said) == copy.message
    assert json.loads(copy.message)["message"]["desp"] == "in the cellar"
    assert (said.headers["urgency"], said.headers["topic"]) == ("high", copy.mid)
    assert 0 < int(said.headers["ttl"]) <= 600
    assert b"cellar" not in said.body


async def test_an_app_gets_it_as_one_text(tmp_path: Path) -> None:
    """FCM takes texts only; its project's own account sends."""
    google, copy = Google(), copy_of()
    async with to_phones(google, tmp_path) as way:
        receipts = [await way.bring(phone_of(number), copy) for number in (1, 2)]

    assert receipts == [DELIVERED, DELIVERED]
    sent = [json.loads(each.body)["message"] for each in google.messages]
    assert [each["token"] for each in sent] == ["token1", "token2"]
    assert sent[0]["data"] == {"mid": copy.mid, "message": copy.message.decode()}
    assert sent[0]["android"]["priority"] == "HIGH"
    assert google.exchanges == 1


async def test_what_is_too_large_is_cut(tmp_path: Path) -> None:
    """A service would refuse it: the browser's push service does."""
    browser, google = Browser(), Google()
    copy = copy_of("x" * 50_000)
    async with to_browsers(browser, tmp_path) as way:
        receipt = await way.bring(browser_of(browser), copy)
    async with to_phones(google, tmp_path) as phones:
        other = await phones.bring(phone_of(), copy)

    assert (receipt, other) == (DELIVERED, DELIVERED)
    assert json.loads(browser.read(browser.server.asked[0]))["message"]["cut"] is True
    data = json.loads(google.messages[0].body)["message"]["data"]
    assert len(json.dumps(data)) <= 4096
    assert json.loads(data["message"])["mid"] == copy.mid


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404), Kind.GONE),
        (Reply(410), Kind.GONE),
        (Reply(403), Kind.MISCONFIGURED),
        (Reply(429, [("retry-after", "7")]), Kind.RETRY),
        (Reply(302, [("location", "https://10.0.0.5/")]), Kind.REFUSED),
    ],
)
async def test_what_a_push_service_says_is_understood(
    tmp_path: Path, reply: Reply, kind: Kind
) -> None:
    """The dead go, the busy are asked later; nothing is followed."""
    browser = Browser(always=reply)
    async with to_browsers(browser, tmp_path) as way:
        receipt = await way.bring(browser_of(browser), copy_of())

    assert receipt.kind is kind
    assert receipt.after == (7.0 if reply.status == 429 else None)
    assert asked(browser.server) == 1


async def test_a_dead_token_is_gone(tmp_path: Path) -> None:
    """UNREGISTERED."""
    google = Google(always=google_error(404, "NOT_FOUND", "UNREGISTERED"))
    async with to_phones(google, tmp_path) as way:
        assert await way.bring(phone_of(), copy_of()) == Receipt(Kind.GONE, "UNREGISTERED")


@pytest.mark.parametrize("endpoint", ["https://10.0.0.5/1", "https://127.0.0.1/1", "http://a.b/"])
async def test_nobody_is_called_inside(tmp_path: Path, endpoint: str) -> None:
    """An endpoint comes from a client: it is judged at each call."""
    browser = Browser()
    receiver = browser_of(browser)
    async with to_browsers(browser, tmp_path) as way:
        receipt = await way.bring(
            Receiver("phone", receiver.kind, endpoint, receiver.secrets), copy_of()
        )

    assert receipt.kind is Kind.REFUSED


@pytest.mark.parametrize("secrets", ["", "{}", '{"p256dh":"AA","auth":"AA"}'])
async def test_what_is_no_subscription_is_gone(tmp_path: Path, secrets: str) -> None:
    """It will never be one."""
    browser = Browser()
    receiver = Receiver("phone", ReceiverKind.WEBPUSH, f"{browser.url}/push/1", Hidden(secrets))
    async with to_browsers(browser, tmp_path) as way:
        assert (await way.bring(receiver, copy_of())).kind is Kind.GONE


async def test_without_the_database_it_is_tried_again(tmp_path: Path) -> None:
    """The pair cannot be read now; once it was, the database is not asked any more."""
    browser = Browser()
    keys = Pair(browser.vapid, Unavailable("database: away"))
    async with to_browsers(browser, tmp_path, keys) as way:
        first = await way.bring(browser_of(browser), copy_of())
        keys.trouble = None
        second = await way.bring(browser_of(browser), copy_of())
        keys.trouble = Unavailable("database: away")
        third = await way.bring(browser_of(browser), copy_of())

    assert (first.kind, second, third) == (Kind.RETRY, DELIVERED, DELIVERED)


async def test_an_account_that_cannot_be_read_is_said_at_start(tmp_path: Path) -> None:
    """With the setting's name, and without what is in the file."""
    file = tmp_path / "account.json"
    for content in (None, "{}", '{"client_email":"hidden"}', "\udcff"):
        if content is not None:
            file.write_bytes(content.encode("utf-8", "surrogateescape"))
        fcm = MpushFcmConfig(project_id="shop", credential_file=str(file))
        settings = Settings.of(web=web_config(), mpush=MpushConfig(fcm=fcm))
        with pytest.raises(ConfigError, match=r"^mpush\.fcm\.credential_file") as error:
            async with open_mpush_ways(settings, Pair(ec.generate_private_key(ec.SECP256R1()))):
                pass
        assert "hidden" not in str(error.value)


async def test_what_is_switched_off_has_no_way() -> None:
    """Web Push is on unless it is switched off; FCM needs a project."""
    off = MpushConfig(webpush=MpushWebPushConfig(enabled=False))
    settings = Settings.of(web=web_config(), mpush=off)
    async with open_mpush_ways(settings, Pair(ec.generate_private_key(ec.SECP256R1()))) as ways:
        assert ways == {}
