"""Calls to the back ends of namespaces, on real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from appmodel.core.units import Duration
from appmodel.errors import BadInput, OutcomeUnknown, Unavailable
from appmodel.io.outbound import Outbound, OutboundLimits
from comet.config import CallbacksConfig
from comet.core.lightpush_calling import Call, Reply, Visit, farewell, question
from comet.io import lightpush_callbacks
from comet.io.lightpush_callbacks import Callbacks
from tests.comet.back_end import BackEnd, serving

VISIT = Visit("/demo", {"uuid": "d1"}, "sid=1")
LIMIT = 40.0  # seconds for a test
LOOPBACK = OutboundLimits(
    allowed=("http://127.0.0.0/8",), timeout=Duration(LIMIT), connect_timeout=Duration(LIMIT)
)


@asynccontextmanager
async def calling(limits: OutboundLimits = LOOPBACK, **settings: Any) -> AsyncIterator[Callbacks]:
    """Callbacks that may go to loopback."""
    config = CallbacksConfig(outbound=limits, **{"timeout": Duration(LIMIT)} | settings)
    async with Outbound(config.outbound) as outbound, trio.open_nursery() as nursery:
        callbacks = Callbacks(outbound, config)
        await nursery.start(callbacks.run)
        with trio.fail_after(LIMIT):
            yield callbacks
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries."""
    monkeypatch.setattr(lightpush_callbacks, "FIRST_PAUSE", 0.01)


async def test_a_back_end_is_asked_and_answers() -> None:
    """With everything that the question says."""
    answer = Reply(200, b'{"userid":"bob"}')
    async with serving(BackEnd(lambda _: answer)) as back_end, calling() as callbacks:
        reply = await callbacks.ask(question(back_end.url("/in?a=1"), "Token x", VISIT))

    assert reply == answer
    (heard,) = back_end.requests
    assert (heard.method, heard.target) == ("GET", "/in?a=1&uuid=d1")
    assert heard.headers["authorization"] == "Token x"
    assert heard.headers["cookie"] == "sid=1"
    assert heard.headers["namespace"] == "/demo"


async def test_a_redirect_is_an_answer() -> None:
    """Nobody follows it: it could lead inside."""
    async with serving(BackEnd(lambda _: Reply(302, b""))) as back_end, calling() as callbacks:
        reply = await callbacks.ask(question(back_end.url("/in"), None, VISIT))

    assert reply.status == 302
    assert len(back_end.requests) == 1


async def test_what_is_inside_is_not_called_unless_the_operator_allows_it() -> None:
    """Tenants choose these addresses."""
    async with serving(BackEnd()) as back_end, calling(OutboundLimits()) as callbacks:
        for address in (back_end.url("/in"), f"https://127.0.0.1:{back_end.port}/"):
            with pytest.raises(BadInput):
                await callbacks.ask(question(address, None, VISIT))

    assert back_end.requests == []
    assert callbacks.failures == 2


async def test_a_back_end_that_hangs_is_waited_for_within_the_time() -> None:
    """And no longer (W29)."""
    async with (
        serving(BackEnd(gate=trio.Event())) as back_end,
        calling(timeout=Duration(0.2)) as callbacks,
    ):
        with pytest.raises(OutcomeUnknown):
            await callbacks.ask(question(back_end.url("/in"), None, VISIT))


async def test_a_namespace_that_hangs_keeps_no_other_one_waiting() -> None:
    """Its questions wait for one another, and those of others do not."""
    async with (
        serving(BackEnd(gate=trio.Event())) as silent,
        serving(BackEnd()) as healthy,
        calling(at_once=2) as callbacks,
        trio.open_nursery() as nursery,
    ):
        for _ in range(5):
            nursery.start_soon(callbacks.ask, question(silent.url("/in"), None, VISIT))
        await silent.hears(2)

        other = Visit("/other", {}, "")
        assert (await callbacks.ask(question(healthy.url("/in"), None, other))).status == 200
        assert len(silent.requests) == 2
        nursery.cancel_scope.cancel()


async def test_a_back_end_is_told_once_that_a_client_has_gone() -> None:
    """Whatever it answers, short of "not now"."""
    async with serving(BackEnd(lambda _: Reply(404, b""))) as back_end, calling() as callbacks:
        callbacks.tell(farewell(back_end.url("/out"), None, VISIT))
        await callbacks.settled()

    (heard,) = back_end.requests
    assert (heard.method, heard.target) == ("POST", "/out")
    assert heard.json == {"query": {"uuid": "d1"}}
    assert heard.headers["content-type"] == "application/json"
    assert (callbacks.told, callbacks.dropped, callbacks.waiting) == (1, 0, 0)


@pytest.mark.parametrize("first", [Reply(503, b""), Reply(429, b""), None])
async def test_it_is_told_again_until_it_hears(first: Reply | None) -> None:
    """Under the same name, so that it knows what it has heard already."""
    answers = [first, first, Reply(200, b"")]
    async with serving(BackEnd(lambda _: answers.pop(0))) as back_end, calling() as callbacks:
        callbacks.tell(farewell(back_end.url("/out"), None, VISIT))
        await callbacks.settled()

    assert len(back_end.requests) == 3
    assert len({heard.headers["idempotency-key"] for heard in back_end.requests}) == 1
    assert callbacks.told == 1


async def test_it_is_not_told_for_ever() -> None:
    """After all tries the news are dropped and counted."""
    async with (
        serving(BackEnd(lambda _: Reply(500, b""))) as back_end,
        calling(tries=3) as callbacks,
    ):
        callbacks.tell(farewell(back_end.url("/out"), None, VISIT))
        callbacks.tell(farewell("http://10.0.0.1/", None, VISIT))  # may not be called
        await callbacks.settled()

    assert len(back_end.requests) == 3
    assert (callbacks.told, callbacks.dropped) == (0, 2)


async def test_a_bug_while_one_is_told_costs_that_call_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what one back end answers could end the comet. The next call of its lane comes through."""
    async with serving(BackEnd()) as back_end, calling(told_at_once=1) as callbacks:
        send, bugs = callbacks._send, [KeyError(1)]

        async def send_badly(call: Call) -> Reply:
            if bugs:
                raise bugs.pop()
            return await send(call)

        monkeypatch.setattr(callbacks, "_send", send_badly)
        for _ in range(2):
            callbacks.tell(farewell(back_end.url("/out"), None, VISIT))
        await callbacks.settled()

    assert len(back_end.requests) == 1
    assert (callbacks.told, callbacks.dropped, callbacks.bugs) == (1, 1, 1)


async def test_a_full_lane_drops_its_own() -> None:
    """Another namespace is told all the same."""
    async with (
        serving(BackEnd(gate=trio.Event())) as silent,
        serving(BackEnd()) as healthy,
        calling(backlog=10, backlog_per_namespace=2, told_at_once=1) as callbacks,
    ):
        for _ in range(5):  # one under way, two wait
            callbacks.tell(farewell(silent.url("/out"), None, VISIT))
            await silent.hears(1)
        callbacks.tell(farewell(healthy.url("/out"), None, Visit("/other", {}, "")))
        await healthy.hears(1)

        assert callbacks.dropped == 2
        assert len(silent.requests) == 1


async def test_nobody_is_told_once_it_has_ended() -> None:
    """Dropped, and counted."""
    async with Outbound(LOOPBACK) as outbound:
        callbacks = Callbacks(outbound, CallbacksConfig())
        callbacks.tell(farewell("https://back.example/", None, VISIT))

    assert callbacks.dropped == 1
    await callbacks.settled()


async def test_who_cannot_be_reached_is_unavailable() -> None:
    """At once."""
    async with serving(BackEnd()) as back_end:
        gone = back_end.url("/in")
    async with calling() as callbacks:
        with pytest.raises(Unavailable):
            await callbacks.ask(question(gone, None, VISIT))
