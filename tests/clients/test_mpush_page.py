"""The page of Mpush in a browser, against a real node: it is a device like any other."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, WebSocket, expect

from appmodel.core.mpush_keys import open_vapid, public_text
from tests.clients.chromium import PATIENCE_MS, needs_chromium, open_browser
from tests.node import Node

expect.set_options(timeout=PATIENCE_MS)  # a busy machine takes its time

BROWSER = {"p256dh": public_text(open_vapid("A" * 42 + "E")), "auth": "A" * 22}
CONTRAST = """() => {
  const shade = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    const light = [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return { alpha: a, light: 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] };
  };
  const under = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { alpha, light } = shade(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return light;
    }
  };
  const worst = {};
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || ![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const [low, high] = [shade(getComputedStyle(element).color).light, under(element)].sort((a, b) => a - b);
    worst[element.tagName + "." + element.className] = (high + 0.05) / (low + 0.05);
  }
  return worst;
}"""

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A phone."""
    context = browser.new_context(locale="en-US", viewport={"width": 390, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, node: Node) -> Iterator[Page]:
    """The page. Whatever it complains of fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.goto(node.url("web.api") + "/mpush")
    yield page
    expected = (  # the browser tells, the page copes
        "ERR_CONNECTION_REFUSED",
        "ERR_FAILED",
        "Push API in incognito mode",
    )
    assert [told for told in complaints if not any(text in told for text in expected)] == []


def log_in(page: Page, node: Node, name: str, token: str = "mpush") -> None:
    """By labels, and with the keyboard alone."""
    page.get_by_label("Name of this device").fill(name)
    page.get_by_label("Token").fill(token)
    page.get_by_text("Group and server").press("Enter")
    page.get_by_label("Server").fill(node.url("comet.mpush"))
    page.get_by_label("Server").press("Enter")


def be_in(page: Page) -> None:
    expect(page.get_by_text("Logged in")).to_be_visible(timeout=PATIENCE_MS)


def push(node: Node, name: str, **fields: object) -> str:
    """The node's answer."""
    request = urllib.request.Request(
        f"{node.url('web.mpush')}/{quote(name)}",
        json.dumps(fields).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_it_acknowledges_what_it_has_kept(page: Page, node: Node) -> None:
    """`ok`, and the message is there after a reload; what came meanwhile, too; it logs in by itself."""
    log_in(page, node, "厨房的手机")
    be_in(page)

    answer = push(
        node, "厨房的手机", title="Backup", content="done\n<b>x</b>", tags=["nas"], priority=5
    )

    assert answer == "ok\n"
    messages = page.get_by_role("list").get_by_role("listitem")
    expect(messages).to_have_count(1)
    expect(messages.get_by_role("heading")).to_have_text("Backup")
    expect(messages).to_contain_text("<b>x</b>")
    for note in ("nas", "Priority 5", "acknowledged"):
        expect(messages.get_by_text(note)).to_be_visible()
    page.goto("about:blank")
    while (
        push(node, "厨房的手机", content="while away") == "online\n"
    ):  # it takes a moment to notice
        pass
    page.goto(node.url("web.api") + "/mpush/")
    expect(messages.first).to_contain_text("while away")
    expect(messages.last).to_contain_text("Backup")


def test_by_hand_one_after_the_other(page: Page, node: Node) -> None:
    """Whoever wants to, acknowledges each; the caller hears of it, and the next one comes."""
    log_in(page, node, "hand")
    be_in(page)
    page.get_by_label("Acknowledge by itself").uncheck()

    with ThreadPoolExecutor() as threads:
        answers: list[Future[str]] = []
        for title in ("one", "two"):
            answers.append(threads.submit(push, node, "hand", title=title))
            page.get_by_role("button", name=f"Acknowledge: {title}").press("Enter")

    assert [answer.result() for answer in answers] == ["ok\n", "ok\n"]
    page.get_by_role("button", name="Remove: one").press("Enter")
    expect(page.get_by_role("listitem")).to_have_count(1)
    page.get_by_role("button", name="Clear the list").press("Enter")
    expect(page.get_by_text("Nothing yet.")).to_be_visible()


def test_a_link_is_opened_and_a_script_is_not(page: Page, node: Node) -> None:
    """Who may push may not run anything here."""
    log_in(page, node, "links")
    be_in(page)
    push(node, "links", title="good", click="https://example.org/a?b=c")
    push(node, "links", title="bad", click="app:x")

    link = page.get_by_role("link", name="Open the link of: good")
    expect(link).to_have_attribute("href", "https://example.org/a?b=c")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(page.get_by_role("heading", name="bad")).to_be_visible()
    expect(page.get_by_role("link")).to_have_count(1)


def test_a_wrong_token_is_said_and_nothing_is_kept_after_a_log_out(page: Page, node: Node) -> None:
    """The form comes back, where the token is to be mended."""
    log_in(page, node, "ann", token="wrong")
    expect(page.get_by_role("alert")).to_have_text("Refused: Token invalid")
    expect(page.get_by_label("Token")).to_be_focused()
    page.get_by_label("Token").fill("mpush")
    page.get_by_label("Token").press("Enter")
    be_in(page)
    push(node, "ann", content="secret")

    page.get_by_role("button", name="Log out").press("Enter")

    expect(page.get_by_label("Name of this device")).to_be_focused()
    page.reload()
    expect(page.get_by_text("Not logged in")).to_be_visible()
    expect(page.get_by_label("Token")).to_be_empty()
    expect(page.get_by_role("listitem")).to_have_count(0)
    assert page.evaluate("localStorage.getItem('mpush.login')") is None


def test_the_newest_login_wins_and_stays(page: Page, context: BrowserContext, node: Node) -> None:
    """The other one says so, and does not take it back at once."""
    log_in(page, node, "one")
    be_in(page)

    other = context.new_page()
    other.goto(node.url("web.api") + "/mpush/")  # the same browser: it knows the login
    be_in(other)

    expect(page.get_by_text("Another login as this device took over")).to_be_visible()
    be_in(other)
    page.get_by_role("button", name="Try now").press("Enter")
    be_in(page)
    other.close()


def test_a_copy_by_web_push_is_shown_and_kept(
    page: Page, context: BrowserContext, node: Node
) -> None:
    """The worker notifies, and the list has it once, though the socket may bring it again; the node hears of it."""
    context.grant_permissions(["notifications"], origin=node.url("web.api"))
    log_in(page, node, "copies")
    be_in(page)
    heard: list[Response] = []
    context.on("response", lambda answer: heard.append(answer) if is_callback(answer) else None)
    copy = {"mid": "1557901952810", "message": {"text": "Fire", "desp": "in the cellar"}}

    deliver = worker_of(page, context, node)
    for _ in range(2):
        deliver(copy)

    expect(page.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("listitem")).to_contain_text("in the cellar")
    page.wait_for_function(
        """async () => {
          const { getNotifications } = ServiceWorkerRegistration.prototype;
          const shown = await getNotifications.call(await navigator.serviceWorker.ready);
          return shown.map(({ title, body }) => title + ": " + body).join() === "Fire: in the cellar";
        }"""
    )
    while len(heard) < 2:
        page.evaluate("null")
    assert [answer.status for answer in heard] == [200, 200]


def test_the_beginning_of_a_long_message_gives_way_to_the_whole(
    page: Page, context: BrowserContext, node: Node
) -> None:
    """Web Push takes 4 KB. It cannot be acknowledged before the rest is there."""
    context.grant_permissions(["notifications"], origin=node.url("web.api"))
    log_in(page, node, "long")
    be_in(page)
    page.get_by_label("Acknowledge by itself").uncheck()
    with ThreadPoolExecutor() as threads:
        pushed = threads.submit(push, node, "long", title="Report", content="x" * 5000)
        item = page.get_by_role("listitem")
        expect(item).to_contain_text("x" * 5000)
        mid = item.get_attribute("id")
        assert mid is not None
        page.goto("about:blank")
        pushed.result()
        page.goto(node.url("web.api") + "/mpush/")  # it is not acknowledged, so it comes again
        page.evaluate("localStorage.removeItem('mpush.login')")
        page.get_by_role("button", name="Log out").press("Enter")
    expect(page.get_by_text("Not logged in")).to_be_visible()
    short = {"mid": mid[1:], "message": {"text": "Report", "desp": "xxx...", "cut": True}}

    worker_of(page, context, node)(short)
    expect(page.get_by_role("listitem", include_hidden=True)).to_contain_text("xxx...")
    expect(
        page.get_by_role("button", name="Acknowledge: Report", include_hidden=True)
    ).to_have_count(0)
    page.get_by_label("Token").fill("mpush")
    page.get_by_label("Token").press("Enter")

    expect(item).to_have_count(1)
    expect(item).to_contain_text("x" * 5000)
    page.get_by_role("button", name="Acknowledge: Report").press("Enter")
    expect(item.get_by_text("acknowledged")).to_be_visible()


def is_callback(answer: Response) -> bool:
    """Whether this answers what the worker says of a copy."""
    return answer.request.method == "POST" and answer.url.endswith("/mpush/")


def worker_of(page: Page, context: BrowserContext, node: Node) -> Callable[[object], None]:
    """What the browser does when its push service brings something."""
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    found: list[str] = []
    devtools = context.new_cdp_session(page)
    devtools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(each["registrationId"] for each in event["registrations"]),
    )
    devtools.send("ServiceWorker.enable")
    while not found:
        page.evaluate("null")

    def deliver(data: object) -> None:
        said = {"origin": node.url("web.api"), "registrationId": found[0], "data": json.dumps(data)}
        devtools.send("ServiceWorker.deliverPushMessage", said)

    return deliver


def test_a_subscription_is_told_to_the_node(
    page: Page, context: BrowserContext, node: Node
) -> None:
    """For the node's key, at every login. (A push service is not at hand: what it would answer is made up.)"""
    context.grant_permissions(["notifications"], origin=node.url("web.api"))
    said: list[str] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda text: said.append(str(text)))

    page.on("websocket", listen)
    page.evaluate(
        """(keys) => {
          PushManager.prototype.subscribe = async ({ applicationServerKey }) => ({
            toJSON: () => ({ endpoint: "https://push.example/" + applicationServerKey.length, keys }),
          });
        }""",
        BROWSER,
    )
    log_in(page, node, "closed")
    be_in(page)

    page.get_by_role("button", name="Notify me while this page is closed").press("Enter")

    expect(page.get_by_text("This device is notified")).to_be_visible()
    assert json.loads(said[-1]) == {
        "cmd": "REGISTER_WEBPUSH",
        "data": {"endpoint": "https://push.example/65", "keys": BROWSER},
    }


def test_what_is_missing_for_notifications_is_said(
    page: Page, context: BrowserContext, node: Node
) -> None:
    """They are blocked; there is no push service to be reached; the node says no. It can be tried again."""
    log_in(page, node, "silent")
    be_in(page)
    ask = page.get_by_role("button", name="Notify me while this page is closed")
    ask.press("Enter")  # nobody says yes to the browser's question
    expect(page.get_by_text("they are blocked for this page")).to_be_visible()

    context.grant_permissions(["notifications"], origin=node.url("web.api"))
    page.reload()
    ask.press("Enter")  # a window without a memory has no push service
    expect(page.get_by_text("does not reach a push service")).to_be_visible()
    page.evaluate(
        """(keys) => {
          const endpoint = "https://10.0.0.5/1";
          PushManager.prototype.subscribe = async () => ({ toJSON: () => ({ endpoint, keys }) });
        }""",
        BROWSER,
    )
    ask.press("Enter")

    expect(page.get_by_text("The server says: endpoint: got '10.0.0.5'")).to_be_visible()


@pytest.mark.parametrize(("locale", "scheme"), [("en-US", "light"), ("zh-CN", "dark")])
def test_it_can_be_read_everywhere(browser: Browser, node: Node, locale: str, scheme: str) -> None:
    """Every screen without scrolling sideways, contrast of 4.5 (WCAG 1.4.3), both languages, targets for a thumb."""
    context = browser.new_context(locale=locale, color_scheme=scheme)  # type: ignore[arg-type]  # a str of two
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(node.url("web.api") + "/mpush/")
    assert page.evaluate("document.documentElement.lang") == locale[:2]
    login = {
        "name": f"{locale}-{scheme}",
        "token": "mpush",
        "group": "",
        "server": node.url("comet.mpush"),
    }
    page.evaluate("(login) => localStorage.setItem('mpush.login', JSON.stringify(login))", login)

    for part in ("#login-part", "#inbox"):
        expect(page.locator(part)).to_be_visible()
        if part == "#inbox":
            expect(page.locator("#state")).to_have_attribute("data-state", "online")
            assert (
                push(node, login["name"], title="x" * 300, content="y" * 300, priority=5) == "ok\n"
            )
            expect(page.get_by_role("listitem")).to_have_count(1)
        for width in (320, 390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert {name: ratio for name, ratio in page.evaluate(CONTRAST).items() if ratio < 4.5} == {}
        small = "all => all.filter(e => e.checkVisibility() && e.offsetHeight < 44).map(e => e.textContent)"
        assert page.locator("button").evaluate_all(small) == []
        page.reload()
    context.close()


def test_it_can_be_installed(page: Page, context: BrowserContext) -> None:
    """The browser finds nothing missing, but that a window without a memory installs nothing."""
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")

    found = context.new_cdp_session(page).send("Page.getInstallabilityErrors")

    assert [each["errorId"] for each in found["installabilityErrors"]] == ["in-incognito"]


def test_it_opens_without_a_node_and_comes_back_with_it(page: Page, node: Node) -> None:
    """From the worker's store, with what was kept; then it logs in by itself, and misses nothing."""
    log_in(page, node, "patient")
    be_in(page)
    assert push(node, "patient", title="before") == "ok\n"
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")

    node.kill()
    page.reload()
    expect(page.get_by_role("heading", name="before")).to_be_visible()
    expect(page.get_by_text("No connection")).to_be_visible()
    node.start()
    assert push(node, "patient", title="after") != "no\n"
    page.evaluate("dispatchEvent(new Event('online'))")  # unless its pause has ended before

    be_in(page)
    expect(page.get_by_role("heading", name="after")).to_be_visible()
