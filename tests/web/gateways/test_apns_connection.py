"""What is wrong in aioapns 4.0, and is not here. Contract: tests/contract/test_apns_gateway.py."""

from functools import partial

import pytest
import trio
import trio.testing
from h2.settings import SettingCodes

from tests.web.gateways.apns_case import ApnsCase, opened
from tests.web.gateways.apple import Apple, apple_error, device_token
from tests.web.gateways.h2_server import SILENCE, Reply
from web.gateways.apns_connection import ApnsConnection
from web.gateways.interface import DELIVERED, Kind, Receipt

PATIENCE = 60.0


def connections(case: ApnsCase) -> list[ApnsConnection]:
    """Those that the gateway has."""
    pool = case.gateway._pool
    assert pool is not None
    return [each for each in pool.connections if isinstance(each, ApnsConnection)]


def assert_nothing_held(case: ApnsCase) -> None:
    """No stream and no channel is taken by a request that is over."""
    for connection in connections(case):
        assert connection._streams == {}
        assert connection.request_streams == {}
        assert connection.requests == {}
        assert connection.channels.load == 0


async def send_many(case: ApnsCase, number: int, **fields: object) -> list[Receipt]:
    """To as many devices, all at once."""
    receipts = []

    async def send(device: int) -> None:
        receipts.append(await case.send(device, **fields))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            for device in range(1, number + 1):
                nursery.start_soon(send, device)
    return receipts


async def test_nothing_is_kept_of_what_is_over() -> None:
    """Neither of successes nor of errors."""
    async with opened() as case:
        assert await send_many(case, 100) == [DELIVERED] * 100
        case.say(apple_error(400, "BadExpirationDate"))
        await send_many(case, 100)

        assert_nothing_held(case)


@pytest.mark.parametrize(
    "pieces",
    [
        [b'{"reason":"Unregistered","timestamp":5000}'],
        [b"", b'{"reason":"Unregistered","timestamp":5000}'],
        [b'{"reason":"Unregistered","timestamp":5000}', b""],
        [b'{"rea', b"", b'son":"Unregis', b'tered","timestamp":5000}'],
    ],
)
async def test_a_body_may_come_in_any_pieces(pieces: list[bytes]) -> None:
    """HTTP/2 frames are no messages; an empty one is nothing at all."""
    async with opened() as case:
        case.say(Reply(410, [], pieces))

        assert await case.send() == Receipt(Kind.GONE, "Unregistered", at=5.0)
        case.say(Reply(200, [], [b""]))
        assert await case.send() == DELIVERED
        assert case.server.connections == 1


async def test_a_full_window_is_waited_for() -> None:
    """What is sent is more than Apple has room for; all of it arrives, once there is room."""
    apple = Apple()
    apple.server.window_open = trio.Event()
    async with opened(apple) as case:
        async with trio.open_nursery() as nursery:
            receipts: list[Receipt] = []

            async def send() -> None:
                receipts.extend(await send_many(case, 50, text="x" * 4000))

            nursery.start_soon(send)
            while len(case.server.asked) < 15:  # 65,535 bytes are fifteen of them, and a bit
                await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(case.server.asked) < 20
            apple.server.window_open.set()

        assert receipts == [DELIVERED] * 50
        assert_nothing_held(case)


async def test_who_gives_up_at_a_full_window_holds_no_stream() -> None:
    """The half-sent request is reset."""
    apple = Apple()
    apple.server.window_open = trio.Event()
    async with opened(apple) as case:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(send_many, case, 30, text="x" * 4000))
                while len(case.server.asked) < 15:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                scope.cancel()
        assert_nothing_held(case)
        apple.server.window_open.set()

        assert await case.send() == DELIVERED


@pytest.mark.parametrize("limit", [1, 7])
async def test_the_servers_limit_of_streams_is_kept(limit: int) -> None:
    """Apple allows one until it has seen a token; what it did not allow it would refuse."""
    apple = Apple()
    apple.server.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: limit}
    async with opened(apple) as case:
        assert await send_many(case, 60) == [DELIVERED] * 60

        assert 0 < case.server.most_streams <= limit
        assert_nothing_held(case)


async def test_a_lowered_limit_is_kept_too() -> None:
    """Also while more streams are open than it allows."""
    async with opened() as case:
        case.server.hold = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_many, case, 20)
            while len(case.server.asked) < 20:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await case.server.lower_limit(2)
            await trio.testing.wait_all_tasks_blocked(0.01)
            case.server.release.set()
        case.server.most_streams = 0

        assert await send_many(case, 50) == [DELIVERED] * 50

        assert case.server.most_streams <= 2


async def test_all_connections_show_one_token() -> None:
    """Apple refuses who signs too often."""
    apple = Apple()
    apple.server.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    apple.server.hold = True
    async with opened(apple, max_connections=3) as case:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_many, case, 9)
            while case.server.connections < 3:
                await trio.testing.wait_all_tasks_blocked(0.01)
            apple.server.release.set()

        assert len(apple.tokens) == 1
        assert case.server.connections == 3


async def test_an_answer_before_the_end_of_the_request_is_one() -> None:
    """Apple need not read what it will refuse."""
    apple = Apple()
    apple.server.window_open = trio.Event()
    apple.server.hasty = apple_error(413, "PayloadTooLarge")
    apple.server.settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    async with opened(apple) as case:
        with trio.fail_after(PATIENCE):
            receipt = await case.send(text="x" * 4000)

        assert receipt == Receipt(Kind.REFUSED, "PayloadTooLarge")
        assert_nothing_held(case)


async def test_a_silent_connection_is_replaced() -> None:
    """A peer that is gone says nothing, and would say nothing to the next ones."""
    async with opened(patience=0.1) as case:
        case.say(SILENCE)
        assert (await case.send()).kind is Kind.RETRY
        case.say(None)

        while await case.send() != DELIVERED:
            pass  # a busy machine may need longer

        assert case.server.connections >= 2


async def test_a_connection_without_streams_is_replaced() -> None:
    """A server that allows none would keep all of them waiting for ever."""
    apple = Apple()
    apple.server.settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 0}
    async with opened(apple, patience=0.3) as case:
        assert (await case.send()).kind is Kind.RETRY
        apple.server.settings = {}

        while await case.send() != DELIVERED:
            pass  # a busy machine may need longer


async def test_one_slow_answer_ends_no_connection() -> None:
    """While others are answered it is that stream alone, and it is reset."""
    slow = device_token(99)

    async with opened(patience=0.3) as case:
        assert await case.send() == DELIVERED
        case.apple.said[slow] = SILENCE
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                done = trio.Event()

                async def be_slow() -> None:
                    assert (await case.send(99)).kind is Kind.RETRY
                    done.set()

                nursery.start_soon(be_slow)
                while not done.is_set():
                    await case.send()
            while not case.server.resets:
                await trio.testing.wait_all_tasks_blocked(0.01)

        assert case.server.connections == 1
        assert_nothing_held(case)


async def test_an_idle_connection_is_closed() -> None:
    """Nobody holds what nobody needs."""
    async with opened(idle_timeout=0.05) as case:
        assert await case.send() == DELIVERED

        with trio.fail_after(PATIENCE):
            while case.server.open:
                await trio.testing.wait_all_tasks_blocked(0.01)

        assert connections(case) == []
        assert await case.send() == DELIVERED
