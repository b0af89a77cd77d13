"""Web hooks of Mpush: from a push by HTTP to the operator's own server, on real sockets."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from appmodel.core.units import Duration
from appmodel.errors import ConfigError
from appmodel.io.outbound import Outbound
from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.config import MpushHookConfig, Password
from comet.core.lightpush_calling import Reply
from tests.comet.back_end import BackEnd, Heard, serving
from tests.web.mpush_desk import Desk, open_desk
from web.config import ReceiversConfig
from web.core.mpush_hooks import Hook
from web.layer_mpush_receivers import check_hooks

SECRET = "Bearer hush"
SOON = Duration(0.02)  # so that a test need not wait; nothing depends on it
QUIET = 0.2  # seconds in which something wrong would have come, on an idle machine


def fine(_heard: Heard) -> Reply | None:
    return Reply(200, b"thank you")


def a_hook(
    back_end: BackEnd, name: str = "nas", method: str = "POST", **more: str
) -> MpushHookConfig:
    url = Password(back_end.url("/in?from=mpush"))
    given = {
        each: Password(text) if each == "authorization" else text for each, text in more.items()
    }
    return MpushHookConfig(name=name, url=url, method=method, **given)  # type: ignore[arg-type]  # texts


@asynccontextmanager
async def open_hooked(
    answer: Callable[[Heard], Reply | None] = fine, *, method: str = "POST", **more: str
) -> AsyncIterator[tuple[Desk, BackEnd]]:
    """A web node whose device `nas` is a hook."""
    async with serving(BackEnd(answer)) as back_end:
        outbound = OutboundLimits(
            allowed=(f"http://127.0.0.1:{back_end.port}",), timeout=Duration(20)
        )
        receivers = ReceiversConfig(poll=SOON, retry=SOON, max_retry=SOON, outbound=outbound)
        hook = a_hook(back_end, method=method, **more)
        async with open_desk(hooks=[hook], receivers=receivers) as desk:
            await entered(desk)
            yield desk, back_end


async def entered(desk: Desk) -> None:
    """The node has made its devices."""
    with trio.fail_after(30):
        while not await desk.books.receivers.of(["nas"]):  # noqa: ASYNC110  a book tells nobody
            await trio.sleep(0.01)


async def test_a_hook_is_a_device_and_its_2xx_an_acknowledgement() -> None:
    """Who pushes hears `ok`; the hook is told all of it, and by whom it is called."""
    async with open_hooked(authorization=SECRET) as (desk, back_end):
        answer = await desk.ask(
            "GET", "/nas?title=Backup&content=done&tags=a,b&extra=%7B%22n%22:1%7D"
        )
        [heard] = await back_end.hears(1)
        status = await desk.ask("GET", f"/nas/status?mid={answer.headers['x-mpush-mid']}")

    assert answer.body == b"ok\n"
    assert (heard.method, heard.target) == ("POST", "/in?from=mpush")
    assert heard.headers["authorization"] == SECRET
    assert heard.headers["content-type"] == "application/json; charset=utf-8"
    assert heard.json == {
        "sendType": "personal",
        "target": "nas",
        "from": {"method": "http", "name": "anonymous"},
        "message": {"text": "Backup", "desp": "done", "extra": {"n": 1}, "tags": ["a", "b"]},
        "mid": answer.headers["x-mpush-mid"],
    }
    assert status.body == b"ok\n"


async def test_a_hook_by_get_is_told_everything_in_its_query() -> None:
    """Behind the query that its URL has; nested values are JSON, and `extra` covers nothing."""
    message = {
        "text": "50% & more",
        "desp": "двери",
        "url": "x",
        "list": [1, {"a": "é"}],
        "mid": "0",
    }
    async with open_hooked(method="GET") as (desk, back_end):
        answer = await desk.ask(
            "POST",
            "/nas.send",
            json.dumps(message).encode(),
            headers={"Content-Type": "application/json"},
        )
        [heard] = await back_end.hears(1)

    reply = answer.json()["data"]
    assert reply["status"] == {"nas": "ok"}
    assert heard.method == "GET"
    assert parse_qs(urlsplit(heard.target).query) == {
        "from": ["mpush", '{"method":"http","name":"anonymous"}'],
        "text": ["50% & more"],
        "desp": ["двери"],
        "url": ["x"],
        "list": ['[1,{"a":"é"}]'],
        "sendType": ["personal"],
        "target": ["nas"],
        "mid": [reply["mid"]],
    }


async def test_a_hook_that_fails_is_asked_again_in_order_until_it_takes_it() -> None:
    """Nothing overtakes what it has not taken; no redirect is followed; a death in the middle is a failure."""
    answers = [Reply(500, b""), Reply(302, b""), None, Reply(404, b"")]

    def moody(_heard: Heard) -> Reply | None:
        return answers.pop(0) if answers else Reply(204, b"")

    async with open_hooked(moody) as (desk, back_end):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.ask, "GET", "/nas?content=one")
            await back_end.hears(1)
            two = await desk.ask("GET", "/nas?content=two")
        heard = await back_end.hears(6)

    told = [each.json["message"]["desp"] for each in heard]
    assert told == ["one"] * 5 + ["two"]
    assert len({each.json["mid"] for each in heard}) == 2
    assert two.body == b"ok\n"


async def test_a_hook_that_does_not_answer_is_online() -> None:
    """It is always there; what it has not taken is not lost."""
    async with serving(BackEnd(lambda _heard: Reply(500, b""))) as back_end:
        outbound = OutboundLimits(allowed=(f"http://127.0.0.1:{back_end.port}",))
        receivers = ReceiversConfig(poll=SOON, outbound=outbound)
        async with open_desk(hooks=[a_hook(back_end)], receivers=receivers, wait=0.05) as desk:
            await entered(desk)
            seed = await desk.ask("GET", "/nas?title=x")
            reply = await desk.ask("GET", "/nas.send?text=x")
            status = await desk.ask("GET", f"/nas/status?mid={seed.headers['x-mpush-mid']}")
            kept = await desk.kept("nas")

    assert seed.body == b"online\n"
    assert reply.json()["data"]["status"] == {"nas": "wait"}
    assert status.body == b"online\n"
    assert len(kept) == 2


async def test_a_slow_hook_gets_no_second_copy() -> None:
    """One at a time, and each once, however long it thinks."""
    async with open_hooked() as (desk, back_end):
        back_end.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(desk.ask, "GET", f"/nas?content={number}")
            await back_end.hears(1)
            await trio.sleep(QUIET)
            meanwhile = len(back_end.requests)
            back_end.gate.set()
        heard = await back_end.hears(3)

    assert meanwhile == 1
    assert len({each.json["mid"] for each in heard}) == len(heard) == 3


async def test_what_is_too_large_for_a_hook_is_left_out() -> None:
    """It would be refused for ever, and with it all that comes behind."""

    def small(heard: Heard) -> Reply | None:
        return Reply(413 if b"large" in heard.body else 200, b"")

    async with open_hooked(small) as (desk, back_end):
        push = json.dumps({"to": "nas@mpush", "msg": "large", "ttl": 60}).encode()
        await desk.world.api.ask("POST", "/v2/push", push)
        answer = await desk.ask("GET", "/nas?content=fits")
        await back_end.hears(2)
        metrics = (await desk.world.api.ask("GET", "/metrics")).body.decode()

    assert answer.body == b"ok\n"
    assert 'web_mpush_copies_total{kind="webhook",outcome="refused"} 1' in metrics
    assert 'web_mpush_copies_total{kind="webhook",outcome="delivered"} 1' in metrics


async def test_any_push_to_the_key_reaches_the_hook() -> None:
    """A device is a key like any other: /v2/push; and a group has it as a member."""
    async with open_hooked(group="home") as (desk, back_end):
        push = json.dumps({"to": "nas@mpush", "msg": "by v2", "ttl": 60}).encode()
        answer = await desk.world.api.ask("POST", "/v2/push", push)
        [heard] = await back_end.hears(1)
        group = await desk.ask("GET", "/home.group?text=all")

    assert answer.status == 200, answer.body
    assert heard.json["message"]["desp"] == "by v2"
    assert group.json()["data"]["status"] == {"nas": "ok"}


def test_a_hook_that_may_not_be_called_is_refused_at_start() -> None:
    """With its place in the configuration, what it was, and the setting that allows it; without its path."""
    hooks = [Hook("a", "https://a.example/"), Hook("b", "http://10.0.0.5/secret")]

    with pytest.raises(ConfigError, match=r"^mpush\.hooks\[1\]\.url.*outbound\.allowed") as caught:
        check_hooks(hooks, Outbound(OutboundLimits()))

    assert "secret" not in str(caught.value)
