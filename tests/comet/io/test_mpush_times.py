"""What happens in time: 30 s for each step of the login, resends with growing patience, and peers that are silent."""

from collections.abc import AsyncIterator

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from appmodel.core.mpush import device_key
from appmodel.io.database import Database
from tests.comet.devices import AUTHENTICATED, PACED, Place, open_mpush
from tests.comet.world import pass_time

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
TICK = 0.5  # the wheel looks within one of its ticks


@pytest.fixture
async def place(database: Database, mock_clock: MockClock) -> AsyncIterator[Place]:
    async with open_mpush(database, config=PACED) as place:
        yield place


async def test_the_token_has_thirty_seconds(place: Place, mock_clock: MockClock) -> None:
    """From the connection on, whatever was tried; then a close frame without a code."""
    phone = await place.phone()
    await pass_time(mock_clock, 15)
    await phone.say("wrong")
    await phone.hears()

    await pass_time(mock_clock, 14.5)
    await phone.say("wrong")
    await phone.hears()
    await pass_time(mock_clock, 1)

    assert await phone.ends() == b""


async def test_the_device_has_thirty_seconds_of_its_own(
    place: Place, mock_clock: MockClock
) -> None:
    """From the token on; then a device that is logged in has for ever."""
    late, phone = await place.phone(), await place.phone()
    await pass_time(mock_clock, 20)
    for one in (late, phone):
        await one.say("mpush")
        assert await one.hears() == AUTHENTICATED

    await pass_time(mock_clock, 29)
    await phone.say("test")
    await phone.packet("LOGIN")
    await pass_time(mock_clock, 1.5)

    assert await late.ends() == b""
    mid = await place.push("test")
    assert await phone.mids(1) == [mid]


async def test_a_client_of_version_2_has_thirty_seconds_too(
    place: Place, mock_clock: MockClock
) -> None:
    """Until its AUTH succeeds."""
    phone = await place.phone()
    await phone.tell("PING")
    assert (await phone.packet("AUTH"))["code"] == 401

    await pass_time(mock_clock, 30 + TICK)

    assert await phone.ends() == b""


async def test_what_is_not_acknowledged_comes_again(place: Place, mock_clock: MockClock) -> None:
    """2 s after the last transmission, then 4, 8 ... and never more than 60 s; with the same mid, until its ack."""
    phone = await place.device("test")
    mid = await place.push("test")
    assert await phone.mids(1) == [mid]

    for pause in (2, 4, 8, 16, 32, 60, 60):
        sent = place.served["a"].counts.sent
        await pass_time(mock_clock, pause - TICK)
        assert place.served["a"].counts.sent == sent
        await pass_time(mock_clock, 2 * TICK)
        assert await phone.mids(1) == [mid]
        await pass_time(mock_clock, TICK / 2)
    await phone.acks(mid)
    assert await place.is_acked("test", mid)
    sent = place.served["a"].counts.sent
    await pass_time(mock_clock, 130)

    assert place.served["a"].counts.sent == sent


async def test_a_new_message_does_not_wait_for_an_old_one(
    place: Place, mock_clock: MockClock
) -> None:
    """Each has its own times: one that is resent seldom holds up nobody."""
    phone = await place.device("test")
    old = await place.push("test")
    assert await phone.mids(1) == [old]
    await pass_time(mock_clock, 35)
    await phone.mids(4)

    new = await place.push("test")
    assert await phone.mids(1) == [new]
    await pass_time(mock_clock, 2 + TICK)

    assert new in await phone.mids(1)


async def test_a_ping_brings_what_is_missing(place: Place, mock_clock: MockClock) -> None:
    """As from S+ on: a client that pings gets what it has had time for."""
    phone = await place.device("test")
    mid = await place.push("test")
    await pass_time(mock_clock, 40)
    assert set(await phone.mids(5)) == {mid}

    await phone.say(b"", opcode=0x9)
    assert await phone.frame() == (0xA, b"")
    await pass_time(mock_clock, TICK)

    assert await phone.mids(1) == [mid]


async def test_a_silent_peer_is_pinged_and_then_let_go(place: Place, mock_clock: MockClock) -> None:
    """After more than the 300 s that nginx allows; then it is offline, and its messages wait."""
    await place.device("test")

    await pass_time(mock_clock, 310)
    assert (await place.delivery("test")).online == (1,)
    await pass_time(mock_clock, 25)
    assert (await place.delivery("test")).online == (0,)

    assert place.served["a"].counts.ended["silent"] == 1


async def test_any_byte_is_a_sign_of_life(place: Place, mock_clock: MockClock) -> None:
    """A pong, a text that means nothing: who says anything stays for ever."""
    phone = await place.device("test")

    for _ in range(4):
        await pass_time(mock_clock, 119)
        await phone.say("still here")
        await pass_time(mock_clock, 119)
        await phone.say(b"", opcode=0xA)
        await pass_time(mock_clock, 1)

    assert (await place.delivery("test")).online == (1,)


async def test_what_is_not_stored_is_sent_once(place: Place, mock_clock: MockClock) -> None:
    """/v2/push without a ttl: whoever is there gets it, and it can be acknowledged."""
    phone = await place.device("test")
    await place.push("test", ttl=0)
    [mid] = await phone.mids(1)

    await pass_time(mock_clock, 70)
    sent = place.served["a"].counts.sent
    await place.push("test", ttl=0)
    [second] = await phone.mids(1)
    await phone.acks(second)

    assert sent == 1
    assert await place.is_acked("test", second)
    assert mid < second


async def test_what_has_expired_is_not_waited_for(place: Place, mock_clock: MockClock) -> None:
    """Deleted or expired meanwhile: it is not sent again, and its place in the window is free."""
    phone = await place.device("test")
    gone, kept = [await place.push("test") for _ in range(2)]
    assert await phone.mids(2) == [gone, kept]
    await place.world().store.delete(device_key("test"), [int(gone) * 1000])

    await pass_time(mock_clock, 2 + TICK)

    assert await phone.mids(1) == [kept]
    [session] = place.served["a"].sessions
    assert session.delivery is not None
    assert len(session.delivery.window) == 1


async def test_a_node_that_was_frozen_lets_nobody_go_at_once(
    place: Place, mock_clock: MockClock
) -> None:
    """What its clients said may lie in its sockets."""
    phone = await place.device("test")

    mock_clock.jump(1000)
    await wait_all_tasks_blocked()
    await phone.say("still here")
    await pass_time(mock_clock, 10)

    assert (await place.delivery("test")).online == (1,)
