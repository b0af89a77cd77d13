"""Calls over real loopback connections: what a caller hears, whatever happens to the other end."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import msgspec
import pytest
import structlog
import trio

from appmodel.errors import (
    BadInput,
    ConfigError,
    NotOwner,
    OutcomeUnknown,
    PushError,
    TooLarge,
    Unavailable,
)
from appmodel.io.calls import Call
from appmodel.io.listener import open_sockets
from appmodel.io.rpc_client import RpcClient
from appmodel.io.rpc_server import Handlers, serve_rpc
from appmodel.protocol import rpc
from tests.appmodel.io.loopback import LIMITS, PATIENCE, SECRET, calling, serving
from tools.servers.ports import free_port

ECHO = Call[bytes, bytes]("test.echo")
WAIT = Call[int, int]("test.wait")
T = TypeVar("T")


async def echo(value: bytes) -> bytes:
    return value


class Gate:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.entered = 0
        self.most = 0  # at once
        self.left = 0
        self.cancelled = 0
        self.changed = trio.Condition()
        self.open = trio.Event()

    async def __call__(self, number: int) -> int:
        self.entered += 1
        self.most = max(self.most, self.entered - self.left)
        await self._tell()
        try:
            await self.open.wait()
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.left += 1
        return number

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def has_entered(self, times: int) -> None:
        """Return once so many calls are inside or were."""
        with trio.fail_after(PATIENCE):
            async with self.changed:
                while self.entered < times:
                    await self.changed.wait()


def table(**handlers: Callable[[bytes], Awaitable[bytes]]) -> Handlers:
    return dict(Call[bytes, bytes](f"test.{name}").answered_by(f) for name, f in handlers.items())


async def eventually(attempt: Callable[[], Awaitable[object]]) -> None:
    """Return once `attempt` is no longer Unavailable: the redial has come through."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                await attempt()
            except (Unavailable, OutcomeUnknown):
                await trio.lowlevel.checkpoint()
            else:
                return


async def outcome(attempt: Awaitable[T]) -> T | PushError:
    """Its result or its PushError."""
    try:
        return await attempt
    except PushError as error:
        return error


async def test_a_call_is_answered() -> None:
    """The argument goes there and the result comes back, also an empty one (gob loses those)."""
    async with serving(table(echo=echo)) as served, calling(served.address) as client:
        for value in (b"", b"one", bytes(1_000_000)):
            assert await client.call(ECHO, value, timeout=PATIENCE) == value


async def test_many_calls_share_one_connection_and_overtake_each_other() -> None:
    """A slow call holds up no other: answers come in any order, over one connection."""
    gate = Gate()
    handlers = {**table(echo=echo), **dict([WAIT.answered_by(gate)])}
    slow: list[int] = []

    async with serving(handlers) as served, calling(served.address) as client:

        async def wait(number: int) -> None:
            slow.append(await client.call(WAIT, number, timeout=PATIENCE))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(wait, number)
            await gate.has_entered(100)
            fast = await client.call(ECHO, b"fast", timeout=PATIENCE)
            assert (fast, slow) == (b"fast", [])
            gate.open.set()

    assert sorted(slow) == list(range(100))
    assert gate.most == 100


async def test_a_refusal_arrives_as_what_it_was() -> None:
    """A PushError keeps its class and its text on the way."""

    async def refuse(_: bytes) -> bytes:
        raise NotOwner("u1@user", "comet2")

    async with serving(table(echo=refuse)) as served, calling(served.address) as client:
        with pytest.raises(NotOwner, match="key 'u1@user' belongs to comet2"):
            await client.call(ECHO, b"", timeout=PATIENCE)


async def test_a_bug_of_a_handler_tells_its_caller_nothing_and_its_log_everything() -> None:
    """Code "internal", no details; the connection and its other calls live on."""

    async def stumble(value: bytes) -> bytes:
        raise ValueError(f"secret {value!r}")

    with structlog.testing.capture_logs() as logs:
        handlers = table(stumble=stumble, echo=echo)
        async with serving(handlers) as served, calling(served.address) as client:
            with pytest.raises(PushError) as caught:
                await client.call(Call[bytes, bytes]("test.stumble"), b"x", timeout=PATIENCE)
            assert await client.call(ECHO, b"on", timeout=PATIENCE) == b"on"

    assert caught.value.code == "internal"
    assert "secret" not in str(caught.value)
    [bug] = [line for line in logs if line["log_level"] == "error"]
    assert (bug["method"], bug["exc_info"]) == ("test.stumble", True)


async def test_a_bug_beside_a_deadline_is_still_contained() -> None:
    """A handler whose tasks fail while it is cancelled leaves a group of both."""

    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise ValueError("in the cleaning up") from None

    async def stumble(value: bytes) -> bytes:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail_when_cancelled)
        return value

    with structlog.testing.capture_logs():
        async with (
            serving(table(stumble=stumble, echo=echo)) as served,
            calling(served.address) as client,
        ):
            stumbling = Call[bytes, bytes]("test.stumble")
            error = await outcome(client.call(stumbling, b"", timeout=0.02))
            assert isinstance(error, PushError)
            assert await client.call(ECHO, b"on", timeout=PATIENCE) == b"on"


async def test_what_is_not_in_the_table_or_of_another_type_is_bad_input() -> None:
    """The error names the method, and what would have been right."""
    async with serving(table(echo=echo)) as served, calling(served.address) as client:
        with pytest.raises(BadInput, match=r"'test\.nothing', expected one of test\.echo"):
            await client.call(Call[bytes, bytes]("test.nothing"), b"", timeout=PATIENCE)
        with pytest.raises(BadInput, match=r"test\.echo.*Expected `bytes`, got `int`"):
            await client.call(Call[int, bytes]("test.echo"), 1, timeout=PATIENCE)
        with pytest.raises(OutcomeUnknown, match=r"answer of test\.echo.*Expected `int`"):
            await client.call(Call[bytes, int]("test.echo"), b"", timeout=PATIENCE)


async def test_a_late_answer_is_unknown_and_its_handler_is_cancelled() -> None:
    """The deadline travels with the call: nobody works for a caller who has gone."""
    gate = Gate()
    handlers = {**table(echo=echo), **dict([WAIT.answered_by(gate)])}

    async with serving(handlers) as served, calling(served.address) as client:
        await client.call(ECHO, b"", timeout=PATIENCE)
        with pytest.raises(OutcomeUnknown, match=r"test\.wait.*may have happened|not done within"):
            await client.call(WAIT, 1, timeout=1)
        with trio.fail_after(PATIENCE):
            while not gate.cancelled:
                await client.call(ECHO, b"", timeout=PATIENCE)


async def test_a_call_that_waits_for_a_slow_dial_was_not_sent() -> None:
    """A host that takes the connection and says nothing: Unavailable at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with calling(f"127.0.0.1:{mute.getsockname()[1]}") as client:
            with pytest.raises(Unavailable, match="was not sent"):
                await client.call(ECHO, b"", timeout=0.05)


async def test_a_host_that_says_nothing_is_given_up() -> None:
    """The handshake has a deadline on both sides."""
    limits = replace(LIMITS, connect_timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with calling(f"127.0.0.1:{mute.getsockname()[1]}", limits=limits) as client:
            with pytest.raises(Unavailable, match=r"no connection within 0\.05 s"):
                await client.call(ECHO, b"", timeout=PATIENCE)

    with structlog.testing.capture_logs() as logs:
        async with serving(table(echo=echo), limits=limits) as served:
            stream = await trio.open_tcp_stream("127.0.0.1", served.port)
            with trio.fail_after(PATIENCE):
                while await stream.receive_some():
                    pass
            await stream.aclose()
    assert [line["why"] for line in logs] == ["no handshake in time"]


async def test_a_node_that_is_away_fails_its_calls_at_once_with_the_cause() -> None:
    """Nobody waits for a node that refuses connections."""
    address = f"127.0.0.1:{free_port()}"
    async with calling(address) as client:
        for _ in range(2):
            with pytest.raises(Unavailable, match=f"{address} is away: connection refused"):
                await client.call(ECHO, b"", timeout=PATIENCE)


@pytest.mark.parametrize("address", ["nowhere.invalid:1", f"{'x' * 80}.invalid:1"])
async def test_a_name_that_means_nothing_is_a_cause_like_any_other(address: str) -> None:
    """Resolvers and codecs have errors of their own; a caller hears Unavailable."""
    async with calling(address) as client:
        with pytest.raises(Unavailable, match="is away"):
            await client.call(ECHO, b"", timeout=PATIENCE)


async def test_a_dead_peer_fails_its_calls_at_once_and_is_dialled_again() -> None:
    """What was sent has an unknown outcome; when the node is back, calls go on."""
    gate = Gate()
    errors: list[int | PushError] = []
    async with serving(dict([WAIT.answered_by(gate)])) as first, calling(first.address) as client:

        async def wait(number: int) -> None:
            heard = await outcome(client.call(WAIT, number, timeout=60))
            errors.append(heard)

        async with trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE):
                for number in range(3):
                    nursery.start_soon(wait, number)
                await gate.has_entered(3)
                first.kill()

        assert [type(error) for error in errors] == [OutcomeUnknown] * 3
        assert "may have happened" in str(errors[0])
        port = int(first.address.partition(":")[2])
        async with serving(table(echo=echo), port=port):
            await eventually(lambda: client.call(ECHO, b"", timeout=PATIENCE))


async def test_pauses_between_redials_grow(autojump_clock: trio.testing.MockClock) -> None:
    """Twelve failures in a row take minutes, not seconds: the bound of the pause doubles."""
    autojump_clock.autojump_threshold = 0.01  # real sockets have their turn first
    limits = replace(LIMITS, retry_pause=1.0, max_retry_pause=1000.0)
    async with puppet_server() as (address, listener), calling(address, limits=limits) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, client.call(ECHO, b"", timeout=600))
            began = trio.current_time()
            for _ in range(12):
                await (await listener.accept()).aclose()
            nursery.cancel_scope.cancel()

        assert trio.current_time() - began > 12  # 12 pauses of at most 1 s take less


async def test_strangers_are_refused_on_both_sides() -> None:
    """Another secret, or none, opens nothing; both logs say why, without a secret."""
    with structlog.testing.capture_logs() as logs:
        async with serving(table(echo=echo), secret=b"one secret") as served:
            for secret in (b"another secret", None):
                async with calling(served.address, secret=secret) as client:
                    with pytest.raises(Unavailable, match=r"is rpc\.secret the same there"):
                        await client.call(ECHO, b"", timeout=PATIENCE)

    assert {line["event"] for line in logs} >= {"rpc connection refused"}
    assert "one secret" not in str(logs)
    assert "another secret" not in str(logs)


async def test_without_a_secret_nodes_talk_on_loopback_only() -> None:
    """Design law 10: insecure only at home."""
    async with (
        serving(table(echo=echo), secret=None) as served,
        calling(served.address, secret=None) as client,
    ):
        assert await client.call(ECHO, b"", timeout=PATIENCE) == b""

    sockets = open_sockets("0.0.0.0", 0)
    with pytest.raises(ConfigError, match=r"rpc\.secret.*0\.0\.0\.0"):
        await serve_rpc(sockets, {}, secret=None, stop=trio.Event())
    assert sockets[0].fileno() == -1
    with pytest.raises(ConfigError, match=r"rpc\.secret.*192\.0\.2\.1:6970"):
        RpcClient("192.0.2.1:6970", secret=None)


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:port", "host:0", "h:65536"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """The error names it."""
    with pytest.raises(ConfigError, match=r"host:port"):
        RpcClient(address, secret=SECRET)


async def test_sizes_are_checked_where_they_arise() -> None:
    """A call or an answer over the limit fails alone; the connection carries on."""

    async def grow(value: bytes) -> bytes:
        return value * 100

    limits = replace(LIMITS, max_frame=1000)
    async with (
        serving(table(grow=grow, echo=echo), limits=limits) as served,
        calling(served.address, limits=limits) as client,
    ):
        with pytest.raises(TooLarge, match=r"test\.echo: a call of .* at most 1000"):
            await client.call(ECHO, bytes(1001), timeout=PATIENCE)
        with pytest.raises(TooLarge, match=r"answer of test\.grow is a frame of"):
            await client.call(Call[bytes, bytes]("test.grow"), bytes(50), timeout=PATIENCE)
        assert await client.call(ECHO, b"on", timeout=PATIENCE) == b"on"


async def test_what_waits_to_be_sent_is_bounded() -> None:
    """Above `max_waiting` bytes a call is refused, not queued; who gives up makes room."""
    limits = replace(LIMITS, max_waiting=1000)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with calling(f"127.0.0.1:{mute.getsockname()[1]}", limits=limits) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, client.call(ECHO, bytes(800), timeout=PATIENCE))
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(Unavailable, match="limit 1000"):
                    await client.call(ECHO, bytes(200), timeout=PATIENCE)
                nursery.cancel_scope.cancel()

            with pytest.raises(Unavailable, match="was not sent"):
                await client.call(ECHO, bytes(800), timeout=0.01)


async def test_what_waits_behind_a_full_connection_is_not_sent() -> None:
    """A write is bounded too: calls behind it can still be called back when their time is up."""
    async with puppet_server() as (address, listener), calling(address) as client:
        heard: list[object] = []

        async def ask() -> None:
            try:
                await client.call(ECHO, bytes(1_000_000), timeout=0.5)
            except PushError as error:
                heard.append(type(error))

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for _ in range(40):
                    nursery.start_soon(ask)
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()  # and reads no more
            await puppet.stream.aclose()

    assert set(heard) == {OutcomeUnknown, Unavailable}


async def test_a_client_sends_no_more_calls_than_its_limit() -> None:
    """The others wait in order, and go when there is room."""
    gate = Gate()
    limits = replace(LIMITS, max_calls=2)
    async with (
        serving(dict([WAIT.answered_by(gate)])) as served,
        calling(served.address, limits=limits) as client,
        trio.open_nursery() as nursery,
    ):
        for number in range(5):
            nursery.start_soon(outcome, client.call(WAIT, number, timeout=PATIENCE))
        await gate.has_entered(2)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert gate.entered == 2
        gate.open.set()

    assert gate.entered == 5
    assert gate.most <= 2


async def test_a_waiting_call_whose_time_is_up_was_not_sent() -> None:
    """It is called back, and its place in the line is free."""
    gate = Gate()
    limits = replace(LIMITS, max_calls=1)
    async with (
        serving(dict([WAIT.answered_by(gate)])) as served,
        calling(served.address, limits=limits) as client,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, client.call(WAIT, 1, timeout=PATIENCE))
            await gate.has_entered(1)
            with pytest.raises(Unavailable, match="was not sent"):
                await client.call(WAIT, 2, timeout=0.02)
            gate.open.set()
        assert await client.call(WAIT, 3, timeout=PATIENCE) == 3

    assert gate.entered == 2


async def test_a_cancelled_call_frees_its_place() -> None:
    """Cancelling is safe: later calls get answers of their own."""
    gate = Gate()
    limits = replace(LIMITS, max_calls=1)
    async with (
        serving(dict([WAIT.answered_by(gate)])) as served,
        calling(served.address, limits=limits) as client,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, client.call(WAIT, 1, timeout=PATIENCE))
            await gate.has_entered(1)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome, client.call(WAIT, 2, timeout=PATIENCE))
            await gate.has_entered(2)
            gate.open.set()
        assert await client.call(WAIT, 3, timeout=PATIENCE) == 3


async def test_a_call_in_a_cancelled_scope_is_not_made() -> None:
    """It is cancelled like any other wait, and the connection serves the next call."""
    heard: list[bytes] = []

    async def hear(value: bytes) -> bytes:
        heard.append(value)
        return await echo(value)

    async with serving(table(echo=hear)) as served, calling(served.address) as client:
        await client.call(ECHO, b"first", timeout=PATIENCE)
        for _ in range(20):  # whether the writer runs before the caller is a matter of chance
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.call(ECHO, b"late", timeout=PATIENCE)
            assert scope.cancelled_caught

        await client.call(ECHO, b"next", timeout=PATIENCE)

    assert heard == [b"first", b"next"]


async def test_a_full_server_reads_no_more() -> None:
    """Beyond `max_calls` of a connection the rest waits in its client's socket."""
    gate = Gate()
    limits = replace(LIMITS, max_calls=3)
    async with (
        serving(dict([WAIT.answered_by(gate)]), limits=limits) as served,
        calling(served.address) as client,
        trio.open_nursery() as nursery,
    ):
        for number in range(10):
            nursery.start_soon(outcome, client.call(WAIT, number, timeout=PATIENCE))
        await gate.has_entered(3)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert gate.entered == 3
        gate.open.set()

    assert gate.entered == 10
    assert gate.most == 3


async def test_a_server_holds_a_bounded_amount_of_arguments() -> None:
    """Few big calls fill it as many small ones do."""
    gate = Gate()

    async def hold(value: bytes) -> bytes:
        await gate(0)
        return value

    limits = replace(LIMITS, max_waiting=1000)
    async with (
        serving(table(echo=hold), limits=limits) as served,
        calling(served.address) as client,
        trio.open_nursery() as nursery,
    ):
        for _ in range(6):
            nursery.start_soon(outcome, client.call(ECHO, bytes(800), timeout=PATIENCE))
        await gate.has_entered(2)
        gate.open.set()

    assert (gate.entered, gate.most) == (6, 2)


async def test_a_client_that_does_not_read_its_answers_gets_no_further_ones() -> None:
    """Answers wait up to `max_waiting` bytes; then its calls stay unread until it reads."""
    begun = trio.Condition()
    calls = 0

    async def grow(value: bytes) -> bytes:
        nonlocal calls
        async with begun:
            calls += 1
            begun.notify_all()
        return value * 1_000_000

    limits = replace(LIMITS, max_waiting=1000)
    async with serving(table(grow=grow), limits=limits) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        puppet = Puppet(stream, rpc.Role.CLIENT)
        await puppet.shake_hands()
        eight = msgspec.Raw(msgspec.msgpack.encode(b"eight by"))
        with trio.fail_after(PATIENCE):
            for number in range(2):
                await puppet.send(rpc.Call(number, "test.grow", 60_000, eight))
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert calls == 1

            answers: list[rpc.Frame] = []
            while len(answers) < 2:
                answers += [f for f in await puppet.next_frames() if isinstance(f, rpc.Answer)]
        await stream.aclose()

    assert calls == 2


async def test_no_call_lasts_longer_than_a_node_allows() -> None:
    """Whatever its caller asks for, on either side."""
    gate = Gate()
    limits = replace(LIMITS, max_call_time=0.05)
    async with serving(dict([WAIT.answered_by(gate)]), limits=limits) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        puppet = Puppet(stream, rpc.Role.CLIENT)
        await puppet.shake_hands()
        one = msgspec.Raw(msgspec.msgpack.encode(1))
        await puppet.send(rpc.Call(7, "test.wait", 2**62, one))
        with trio.fail_after(PATIENCE):
            [error] = await puppet.next_frames()
        await stream.aclose()

    text = "test.wait: not done within 0.05 s"
    assert error == rpc.Error(7, OutcomeUnknown.code, text)
    async with (
        serving(dict([WAIT.answered_by(gate)])) as served,
        calling(served.address, limits=limits) as client,
    ):
        with trio.fail_after(PATIENCE), pytest.raises((OutcomeUnknown, Unavailable)):
            await client.call(WAIT, 1, timeout=float("inf"))


async def test_a_stopping_server_finishes_what_it_began_and_takes_no_more() -> None:
    """Its clients get their answers, and later calls hear Unavailable: not begun."""
    gate = Gate()
    async with serving(dict([WAIT.answered_by(gate)])) as served, calling(served.address) as client:
        answers: list[int | PushError] = []

        async def wait() -> None:
            heard = await outcome(client.call(WAIT, 1, timeout=PATIENCE))
            answers.append(heard)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await gate.has_entered(1)
            served.stop.set()
            with trio.fail_after(PATIENCE):
                while not isinstance(
                    error := await outcome(client.call(WAIT, 2, timeout=PATIENCE)), Unavailable
                ):
                    pass
            assert gate.entered == 1
            assert not served.done.is_set()
            gate.open.set()
        with trio.fail_after(PATIENCE):
            await served.done.wait()

    assert answers == [1]
    assert "stops" in str(error) or "goes away" in str(error)


async def test_an_idle_client_lets_a_server_stop_at_once() -> None:
    """It hears that the server goes away, hangs up, and says so to later callers."""
    limits = replace(LIMITS, drain_timeout=100 * PATIENCE)
    async with (
        serving(table(echo=echo), limits=limits) as served,
        calling(served.address) as client,
    ):
        await client.call(ECHO, b"", timeout=PATIENCE)

        served.stop.set()

        with trio.fail_after(PATIENCE):
            await served.done.wait()
        with pytest.raises(Unavailable, match="is away"):
            await client.call(ECHO, b"", timeout=PATIENCE)


async def test_a_stopping_server_waits_no_longer_than_it_may() -> None:
    """What has not ended by `drain_timeout` is cancelled; its outcome is unknown."""
    gate = Gate()
    limits = replace(LIMITS, drain_timeout=0.05)
    async with (
        serving(dict([WAIT.answered_by(gate)]), limits=limits) as served,
        calling(served.address) as client,
        trio.open_nursery() as nursery,
    ):

        async def wait() -> None:
            with pytest.raises(OutcomeUnknown):
                await client.call(WAIT, 1, timeout=PATIENCE)

        nursery.start_soon(wait)
        await gate.has_entered(1)
        served.stop.set()
        with trio.fail_after(PATIENCE):
            await served.done.wait()

    assert gate.cancelled == 1


async def test_a_call_outlives_the_connection_that_brought_it() -> None:
    """A push that is half done helps nobody: the handler goes on to its end."""
    gate = Gate()
    async with serving(dict([WAIT.answered_by(gate)])) as served:
        async with calling(served.address) as client, trio.open_nursery() as nursery:
            nursery.start_soon(outcome, client.call(WAIT, 1, timeout=PATIENCE))
            await gate.has_entered(1)
            nursery.cancel_scope.cancel()
        assert (gate.left, gate.cancelled) == (0, 0)
        gate.open.set()
        await trio.testing.wait_all_tasks_blocked()

    assert (gate.left, gate.cancelled) == (1, 0)


async def test_a_retired_client_ends_after_its_last_answer() -> None:
    """The node has left the cluster: nothing new is sent, nothing sent is lost."""
    gate = Gate()
    async with serving(dict([WAIT.answered_by(gate)])) as served:
        client = RpcClient(served.address, secret=SECRET, limits=LIMITS)
        answers: list[int | PushError] = []

        async def wait() -> None:
            heard = await outcome(client.call(WAIT, 1, timeout=PATIENCE))
            answers.append(heard)

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run)
                nursery.start_soon(wait)
                await gate.has_entered(1)
                client.retire()
                with pytest.raises(Unavailable, match="has left the cluster"):
                    await client.call(WAIT, 2, timeout=PATIENCE)
                gate.open.set()

    assert answers == [1]


async def test_a_retired_client_gives_up_what_was_not_sent() -> None:
    """And it ends, too, when the node that owes an answer dies: it is not dialled again."""
    gate = Gate()
    limits = replace(LIMITS, max_calls=1)
    async with serving(dict([WAIT.answered_by(gate)])) as served:
        client = RpcClient(served.address, secret=SECRET, limits=limits)
        heard: dict[int, type] = {}

        async def wait(number: int) -> None:
            heard[number] = type(await outcome(client.call(WAIT, number, timeout=60)))

        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.run)
                nursery.start_soon(wait, 1)
                await gate.has_entered(1)
                nursery.start_soon(wait, 2)
                await trio.testing.wait_all_tasks_blocked()
                client.retire()
                await trio.testing.wait_all_tasks_blocked()
                assert heard == {2: Unavailable}
                served.kill()

    assert heard == {1: OutcomeUnknown, 2: Unavailable}


async def test_a_client_that_was_never_used_or_is_closed_leaves_nobody_waiting() -> None:
    """Retiring it ends it; a call through a closed one fails at once."""
    client = RpcClient("127.0.0.1:1", secret=SECRET, limits=LIMITS)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            client.retire()
        with pytest.raises(Unavailable, match="its client is closed"):
            await client.call(ECHO, b"", timeout=PATIENCE)


class Puppet:
    """The other end of a connection, played by hand: it has proved itself and then does as told."""

    def __init__(self, stream: trio.SocketStream, role: rpc.Role) -> None:
        self.stream = stream
        self.connection = rpc.Connection(role, secret=SECRET, nonce=bytes(rpc.NONCE))

    async def shake_hands(self) -> None:
        while True:
            await self.stream.send_all(self.connection.data_to_send())
            if self.connection.is_open:
                return
            self.connection.receive_data(await self.stream.receive_some())

    async def next_frames(self) -> list[rpc.Frame]:
        return self.connection.receive_data(await self.stream.receive_some())

    async def send(self, *frames: rpc.Answer | rpc.Call | rpc.GoAway) -> None:
        for frame in frames:
            self.connection.send(frame)
        await self.stream.send_all(self.connection.data_to_send())


@asynccontextmanager
async def puppet_server() -> AsyncIterator[tuple[str, trio.SocketListener]]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}", listener


async def test_a_silent_peer_is_noticed() -> None:
    """A half-open connection shows by nothing but silence: its calls fail long before their deadline."""
    limits = replace(LIMITS, ping_interval=0.03)
    async with puppet_server() as (address, listener), calling(address, limits=limits) as client:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(OutcomeUnknown, match="no sign of life"):
                        await client.call(ECHO, b"", timeout=60)

                nursery.start_soon(wait)
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()  # and not another word
            await puppet.stream.aclose()


async def test_a_quiet_peer_that_answers_pings_is_left_alone() -> None:
    """Idle is not dead: after many intervals the same connection carries the next call."""
    limits = replace(LIMITS, ping_interval=0.01)
    with structlog.testing.capture_logs() as logs:
        async with (
            serving(table(echo=echo), limits=limits) as served,
            calling(served.address, limits=limits) as client,
        ):
            await client.call(ECHO, b"", timeout=PATIENCE)
            await trio.sleep(0.2)  # the only way to be idle for a while
            await client.call(ECHO, b"", timeout=PATIENCE)

    assert [line["event"] for line in logs].count("rpc connected") == 1


async def test_a_server_that_lies_is_cut_and_its_calls_fail() -> None:
    """Garbage in an open connection: the caller hears what was wrong, the client dials again."""
    async with puppet_server() as (address, listener), calling(address) as client:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(OutcomeUnknown, match="not a frame that may come now"):
                        await client.call(ECHO, b"", timeout=PATIENCE)

                nursery.start_soon(wait)
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()
                await puppet.next_frames()
                await puppet.stream.send_all(b"\x00\x00\x00\x01\x00")
            again = await listener.accept()
            await again.aclose()
            await puppet.stream.aclose()


async def test_answers_that_nobody_asked_for_are_dropped() -> None:
    """A late answer, or one of an unknown id, disturbs no other call."""
    async with puppet_server() as (address, listener), calling(address) as client:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    assert await client.call(ECHO, b"a", timeout=PATIENCE) == b"right"

                nursery.start_soon(ask)
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()
                [call] = await puppet.next_frames()
                assert isinstance(call, rpc.Call)
                right = msgspec.Raw(msgspec.msgpack.encode(b"right"))
                wrong = msgspec.Raw(msgspec.msgpack.encode(b"wrong"))
                answers = [rpc.Answer(99, wrong), rpc.Answer(call.id, right)]
                await puppet.send(*answers, rpc.Answer(call.id, wrong))
            await puppet.stream.aclose()


async def test_calls_of_one_round_are_one_write() -> None:
    """What is asked in one round of the loop arrives in one piece, in its order."""
    async with puppet_server() as (address, listener), calling(address) as client:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(outcome, client.call(ECHO, b"", timeout=PATIENCE))
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()
                await puppet.next_frames()
                for number in range(50):
                    nursery.start_soon(outcome, client.call(WAIT, number, timeout=PATIENCE))
                calls = await puppet.next_frames()
                nursery.cancel_scope.cancel()
            await puppet.stream.aclose()

    assert len(calls) == 50


async def test_a_client_that_does_not_read_is_cut() -> None:
    """Its answers fill the kernel, then wait no longer than `write_timeout`; the others go on."""
    limits = replace(LIMITS, write_timeout=0.05)

    async def grow(value: bytes) -> bytes:
        return value * 1_000_000

    with structlog.testing.capture_logs() as logs:
        async with serving(table(grow=grow, echo=echo), limits=limits) as served:
            stream = await trio.open_tcp_stream("127.0.0.1", served.port)
            puppet = Puppet(stream, rpc.Role.CLIENT)
            await puppet.shake_hands()
            eight = msgspec.Raw(msgspec.msgpack.encode(b"eight by"))
            await puppet.send(*(rpc.Call(n, "test.grow", 60_000, eight) for n in range(8)))

            async with calling(served.address) as client:
                assert await client.call(ECHO, b"on", timeout=PATIENCE) == b"on"
                with trio.fail_after(PATIENCE):
                    while not any("did not read" in str(line.get("why")) for line in logs):
                        await client.call(ECHO, b"on", timeout=PATIENCE)
            await stream.aclose()


async def test_a_deadline_of_the_caller_travels_too() -> None:
    """A scope around the call that ends earlier than its timeout shortens what the server may take."""
    asked: list[rpc.Frame] = []
    async with puppet_server() as (address, listener), calling(address) as client:
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    with trio.move_on_after(PATIENCE):
                        await outcome(client.call(ECHO, b"", timeout=600))

                nursery.start_soon(ask)
                puppet = Puppet(await listener.accept(), rpc.Role.SERVER)
                await puppet.shake_hands()
                asked += await puppet.next_frames()
                nursery.cancel_scope.cancel()
            await puppet.stream.aclose()

    [call] = asked
    assert isinstance(call, rpc.Call)
    assert 0 < call.timeout_ms <= PATIENCE * 1000
