"""Web Push on a real node: a phone whose page is closed gets what is pushed to it, once."""

import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from appmodel.core.sealing import Sealing
from appmodel.io.database import Database
from appmodel.io.mpush_books import SqlReceivers
from tests.comet.devices import HANDSHAKE
from tests.databases import limits
from tests.mpush.world import PATIENCE, Handset
from tests.node import Node, running_node
from tests.web.gateways.browser import Browser
from tests.web.gateways.fcm_case import AUTHORITY
from tests.web.gateways.h2_server import Asked, Reply, serving

PAUSE = 0.02  # seconds between two looks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("webpush")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[Node]:
    """Push services of this machine count as public ones, vouched for by the tests' authority."""
    authority = folder / "authority.pem"
    authority.write_text(AUTHORITY.certificate)
    settings = {
        "APPMSG_MPUSH__WEBPUSH__ALLOWED": '["localhost"]',
        "APPMSG_WEB__NOTIFICATIONS__OUTBOUND__CA_FILE": str(authority),
        "APPMSG_WEB__NOTIFICATIONS__OUTBOUND__TIMEOUT": "20s",
        "APPMSG_WEB__MPUSH__RECEIVERS__RETRY": "100ms",
        "APPMSG_WEB__MPUSH__RECEIVERS__MAX_RETRY": "100ms",
        "APPMSG_WEB__MPUSH__WAIT": "0s",  # nobody acknowledges while it is waited for
    }
    with running_node(folder, settings) as node:
        yield node


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Of the phone."""
    browser = Browser()
    async with serving(browser.server, AUTHORITY.server_context()):
        yield browser


@asynccontextmanager
async def logged_in(node: Node, name: str) -> AsyncIterator[tuple[Handset, dict[str, Any]]]:
    """The page, and what AUTH told it; closed behind the block."""
    address = urlsplit(node.url("comet.mpush"))
    assert address.hostname is not None
    stream = await trio.open_tcp_stream(address.hostname, address.port or 0)
    async with stream:
        phone = Handset(stream)
        await phone.send(HANDSHAKE.format(target="/", version=13, more="").encode())
        await phone.read_until(b"\r\n\r\n")
        yield phone, await phone.auth(name)


async def subscribed(node: Node, name: str, browser: Browser) -> None:
    """Its page was open, asked for notifications, and is closed."""
    async with logged_in(node, name) as (phone, told):
        subscription = browser.subscribe(told["webpushPublicKey"])
        await phone.tell("REGISTER_WEBPUSH", **subscription)
        await phone.tell("PING")
        await phone.packet("PONG")


async def ask(node: Node, path: str, listener: str = "web.mpush") -> str:
    """The answer to a GET."""

    def run() -> str:
        with urllib.request.urlopen(node.url(listener) + path, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
            return text

    return await trio.to_thread.run_sync(run)


async def push_while_away(node: Node, name: str, title: str) -> None:
    """One or more: until the node has noticed that the page is closed."""
    while await ask(node, f"/{name}?title={title}") != "offline\n":  # noqa: ASYNC110  # another process
        await trio.sleep(PAUSE)


async def until_asked(browser: Browser, title: str, *, beyond: int = 0) -> list[str]:
    """The titles that its push service was asked to bring, once the last is this one."""
    with trio.fail_after(PATIENCE):
        while True:
            titles = [read(browser, asked)["message"]["text"] for asked in browser.server.asked]
            if titles[beyond:][-1:] == [title]:
                return titles
            await trio.sleep(PAUSE)


def read(browser: Browser, asked: Asked) -> dict[str, Any]:
    """The MESSAGE that the browser decrypts."""
    found: dict[str, Any] = json.loads(browser.read(asked))
    return found


async def test_who_is_away_gets_the_message_and_no_second_copy(
    node: Node, browser: Browser
) -> None:
    """Encrypted for this browser, signed with the key that AUTH told; what the page has later, and once."""
    await subscribed(node, "pocket", browser)

    await push_while_away(node, "pocket", "one")
    await until_asked(browser, "one")
    await push_while_away(node, "pocket", "two")
    titles = await until_asked(browser, "two")
    copies = [read(browser, asked) for asked in browser.server.asked]

    mids = [copy["mid"] for copy in copies]
    assert titles == sorted(titles)  # in order
    assert mids == sorted(set(mids))  # each of them once
    await acknowledge_all(node, "pocket", copies)
    await push_while_away(node, "pocket", "three")
    later = await until_asked(browser, "three")
    assert set(later[len(titles) :]) == {"three"}


async def test_what_the_page_has_acknowledged_is_not_brought_any_more(
    node: Node, browser: Browser
) -> None:
    """Though its push service took nothing so far."""
    browser.always = Reply(503)
    await subscribed(node, "busy", browser)
    await push_while_away(node, "busy", "early")
    await until_asked(browser, "early")

    await acknowledge_all(node, "busy", await kept(node, "busy"))
    await push_while_away(node, "busy", "late")
    tried = await until_asked(browser, "late")
    browser.always = None
    before = len(browser.server.asked)
    titles = await until_asked(browser, "late", beyond=before)

    assert "early" in tried
    assert set(titles[tried.index("late") :]) == {"late"}


async def test_a_dead_subscription_is_forgotten(node: Node, browser: Browser, folder: Path) -> None:
    """410, and nobody calls there any more; the device and its messages stay."""
    browser.always = Reply(410)
    await subscribed(node, "moved", browser)
    await push_while_away(node, "moved", "last")
    await until_asked(browser, "last")

    database = Database(limits(f"sqlite:///{folder}/var/app.db"))
    receivers = SqlReceivers(database, Sealing(b""))
    with trio.fail_after(PATIENCE):
        while await receivers.of(["moved"]):  # noqa: ASYNC110  # another process
            await trio.sleep(PAUSE)
    database.close()

    calls = len(browser.server.asked)
    assert await ask(node, "/moved?title=later") == "offline\n"
    assert {copy["title"] for copy in await kept(node, "moved")} == {"last", "later"}
    assert len(browser.server.asked) == calls


async def kept(node: Node, name: str) -> list[dict[str, Any]]:
    """What waits for a device: the lines that a reader gets."""
    lines = (await ask(node, f"/{name}/json?poll=1&since=all")).splitlines()
    return [json.loads(line) for line in lines]


async def acknowledge_all(node: Node, name: str, copies: list[dict[str, Any]]) -> None:
    """The page is opened, gets these by its socket, and is closed."""
    async with logged_in(node, name) as (phone, _):
        for copy in copies:
            found = await phone.message()
            assert found["mid"] == copy["mid"]
            await phone.takes(found["mid"])
        await phone.tell("PING")
        await phone.packet("PONG")
    with trio.fail_after(PATIENCE):
        while await ask(node, f"/{name}/status?mid={copies[-1]['mid']}") != "ok\n":  # noqa: ASYNC110  # another process
            await trio.sleep(PAUSE)
