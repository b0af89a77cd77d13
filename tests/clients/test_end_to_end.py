"""The main job on the real thing: three clients subscribe, REST pushes, the node dies, they resume.

The all-in-one node is a process with SQLite in a temporary folder; it is killed by SIGKILL. What was
answered before that was stored, so all of it arrives, once and in order.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from appmsg_client import PushFailed, Refused, push, subscribe
from playwright.sync_api import Browser, Page, expect

from appmodel.core.credentials import Credentials
from appmodel.core.names import parse_key
from tests.clients.chromium import PATIENCE_MS, needs_chromium, open_browser
from tests.clients.node_client import node_client, why_no_node
from tests.node import Node, running_node

needs_node = pytest.mark.skipif(bool(why_no_node()), reason=why_no_node() or "node is here")


async def push_to(node: Node, key: str, msg: Any) -> int:
    """Push by REST, kept for a minute; the id that web answers with."""
    answer = await push(key, msg, api=node.url("web.api"), ttl=60)
    mid = answer["results"][0]["id"]
    assert isinstance(mid, int)
    return mid


async def restart(node: Node) -> None:
    """Kill it, start it again; the clients' tasks go on meanwhile."""
    await trio.to_thread.run_sync(node.kill)
    await trio.to_thread.run_sync(node.start)


async def test_the_python_client_misses_nothing(node: Node) -> None:
    """Live, through a crash, and after it; also for one who comes later and wants everything."""
    key = "u9@user"
    pushed, received = [], []
    async with subscribe(key, web=node.url("web.public"), mid=0, acknowledge=True) as messages:
        for turn in range(3):
            pushed.append(await push_to(node, key, {"before": turn}))
        received.append(await anext(messages))

        await restart(node)
        for turn in range(3):
            pushed.append(await push_to(node, key, {"after": turn}))
        received += [await anext(messages) for _ in range(5)]

    assert [message.mid for message in received] == pushed
    assert [message.msg for message in received] == [
        {when: turn} for when in ("before", "after") for turn in range(3)
    ]
    async with subscribe(key, server=node.url("comet.websocket"), mid=0) as messages:
        assert [(await anext(messages)).mid for _ in pushed] == pushed
    async with subscribe(key, server=node.url("comet.websocket"), mid=pushed[3]) as messages:
        assert [(await anext(messages)).mid for _ in pushed[4:]] == pushed[4:]


@needs_node
async def test_the_javascript_client_misses_nothing(node: Node) -> None:
    """The same, in Node."""
    key = "u2@user"
    async with node_client(key, web=node.url("web.public"), mid=0) as client:
        await client.state("online")
        pushed = [await push_to(node, key, turn) for turn in range(3)]
        received = await client.mids(1)

        await restart(node)
        pushed += [await push_to(node, key, turn) for turn in range(3)]
        received += await client.mids(5)

    assert received == pushed


async def test_a_drained_node_tells_its_clients_and_gets_them_back(node: Node) -> None:
    """SIGTERM: exit code 0, and a client that was told 1001 is back after the next start."""
    codes: list[int] = []
    back = trio.Event()

    def note(event: object) -> None:
        code = getattr(event, "code", None)
        if code is not None:
            codes.append(code)
        elif codes:
            back.set()

    async with subscribe("u3@user", web=node.url("web.public"), mid=0, on_event=note) as messages:
        await push_to(node, "u3@user", 1)
        await anext(messages)
        code = await trio.to_thread.run_sync(node.stop)
        await trio.to_thread.run_sync(node.start)
        await back.wait()

    assert code == 0
    assert codes[0] == 1001


async def test_a_bad_key_is_refused_by_web_and_by_comet(node: Node) -> None:
    """The client does not insist, whoever told it."""
    bad = "k" * 5000
    async with subscribe(bad, web=node.url("web.public")) as messages:
        with pytest.raises(Refused, match="4400"):
            await anext(messages)
    async with subscribe(bad, server=node.url("comet.websocket")) as messages:
        with pytest.raises(Refused, match="4400"):
            await anext(messages)


async def test_a_cluster_that_asks_for_tickets(tmp_path: Path) -> None:
    """Without the key's ticket nothing is read, without an access token nothing is pushed."""
    secret = "a secret of the test, and long enough"
    credentials = Credentials(secret.encode())
    now = time.time()
    ticket = credentials.issue_ticket(parse_key("u1@user"), now=now, ttl=60)
    token = credentials.issue_token(["push"], now=now, ttl=60)
    settings = {"APPMSG_AUTH__MODE": "on", "APPMSG_AUTH__SECRET": secret}
    with running_node(tmp_path, settings) as node:
        public, api = node.url("web.public"), node.url("web.api")
        async with subscribe("u1@user", web=public, token=ticket, mid=0) as messages:
            await push("u1@user", "hello", api=api, token=token, ttl=60)
            message = await anext(messages)
        async with subscribe("u2@user", web=public, token=ticket, mid=0) as messages:
            with pytest.raises(Refused) as refused:
                await anext(messages)
        with pytest.raises(PushFailed, match="401"):
            await push("u1@user", "hello", api=api, token=ticket)

    assert message.msg == "hello"
    assert refused.value.code == 4401
    assert ticket not in str(refused.value)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, node: Node) -> Iterator[Page]:
    """The demo page. Whatever it complains of fails the test."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.goto(node.url("web.api") + "/")
    yield page
    context.close()
    expected = ("ERR_CONNECTION_REFUSED", "status of 422")  # the browser tells, the page copes
    assert [told for told in complaints if not any(text in told for text in expected)] == []


def push_from(page: Page, text: str) -> None:
    page.get_by_label("Message any JSON").fill(f'{{"text": "{text}"}}')
    page.get_by_role("button", name="Push").click()
    expect(page.locator("#answer td").first).to_have_text("u1@user")


def texts_of(page: Page) -> Any:
    return page.locator("#messages pre")


def be_online(page: Page) -> None:
    expect(page.get_by_text("Connected to ws://")).to_be_visible(timeout=PATIENCE_MS)


@needs_chromium
def test_the_page_shows_what_it_pushes(page: Page) -> None:
    """Subscribe, push, see it arrive, acknowledge: by keyboard and label, as a reader would."""
    page.get_by_role("button", name="Subscribe").click()
    be_online(page)
    for text in ("one", "two"):
        push_from(page, text)
        expect(texts_of(page).first).to_have_text(f'{{"text":"{text}"}}')
    page.get_by_role("button", name="Acknowledge").first.click()

    expect(page.locator("#messages .told")).to_have_text(["acknowledged", "acknowledged"])
    expect(page.locator("#count")).to_have_text("2")
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_text("Not subscribed")).to_be_visible()


@needs_chromium
def test_the_page_resumes_after_a_reload_and_after_a_crash(page: Page, node: Node) -> None:
    """What is pushed while it is away comes after, and what it had does not come again."""
    page.get_by_role("button", name="Subscribe").click()
    be_online(page)
    push_from(page, "before")
    expect(texts_of(page)).to_have_count(1)

    page.goto("about:blank")
    trio.run(push_to, node, "u1@user", "while away")
    page.goto(node.url("web.api") + "/#u1@user")
    expect(texts_of(page)).to_have_text(['"while away"'])

    node.kill()
    expect(page.locator("#state")).to_have_attribute("data-state", "waiting")
    node.start()
    trio.run(push_to, node, "u1@user", "after the crash")
    expect(texts_of(page)).to_have_text(['"after the crash"', '"while away"'], timeout=40_000)


@needs_chromium
def test_the_page_says_what_is_wrong(page: Page, node: Node) -> None:
    """What is not JSON is not sent; what web refuses is shown in its words."""
    page.get_by_label("Message any JSON").fill("{")
    page.get_by_role("button", name="Push").click()
    expect(page.get_by_role("alert")).to_contain_text("Not JSON yet")
    expect(page.locator("#answer")).to_be_empty()

    page.get_by_label("Message any JSON").fill("1")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_label("To names").fill(",")
    page.get_by_role("button", name="Push").click()
    expect(page.locator("#answer")).to_contain_text("to: ")


@needs_chromium
def test_the_page_fits_every_screen(page: Page) -> None:
    """Nothing has to be scrolled sideways, however long a message is."""
    page.get_by_role("button", name="Subscribe").click()
    be_online(page)
    push_from(page, "x" * 500)
    expect(texts_of(page)).to_have_count(1)

    for width in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_the_description_shows_every_operation(page: Page, node: Node) -> None:
    """Whatever the document holds: parameters without a description, schemas that name themselves."""
    api = node.url("web.api")
    document = page.request.get(f"{api}/v2/openapi.json").json()
    wanted = [each["operationId"] for path in document["paths"].values() for each in path.values()]

    page.goto(f"{api}/v2/docs")
    expect(page.locator("main > section")).to_have_count(
        len(wanted) + 2
    )  # and problems, and a word before

    shown = page.locator("main > section").evaluate_all("all => all.map((each) => each.id)")
    assert sorted(shown) == sorted([*wanted, "introduction", "problems"])
    assert page.locator("nav a").count() == len(wanted) + 1
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_the_page_loads_nothing_from_elsewhere(browser: Browser, node: Node) -> None:
    """It is for networks without a way out, and its policy allows no script or style in the text."""
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(node.url("web.api") + "/")
    context.close()

    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert [url for url in asked if not url.startswith((node.url("web.api"), "data:"))] == []
