"""A channel delivers every stored message once and in order, whatever arrives, and sees every hole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.names import Key, parse_key
from comet.core.channel import MAX_ASIDE, Channel, Hole, Verdict
from comet.core.hub import Hub
from comet.core.message import Message
from tests.comet.fakes import Taker

KEY = parse_key("u1@user")


def stored(message_id: int) -> Message:
    return Message(message_id, b"{}", stored=True)


def live(message_id: int) -> Message:
    return Message(message_id, b"{}", stored=False)


def ids(messages: list[Message]) -> list[int]:
    return [message.id for message in messages]


def test_what_was_delivered_is_dropped() -> None:
    """A push retried by web, or forwarded twice, reaches nobody twice."""
    channel = Channel(KEY)
    channel.learn_mark(5)

    assert channel.accept(stored(5), 3) is Verdict.DROPPED
    assert channel.accept(stored(7), 5) is Verdict.DUE
    assert channel.accept(stored(7), 5) is Verdict.DROPPED
    assert ids(channel.take_due()) == [7]


def test_an_unsaved_message_never_moves_the_cursor() -> None:
    """It is best effort: what is stored with a lower id must still be delivered."""
    channel = Channel(KEY)
    channel.learn_mark(5)

    channel.accept(live(100), 5)

    assert channel.cursor == 5
    assert channel.accept(stored(8), 5) is Verdict.DUE


def test_a_hole_holds_everything_back_until_it_is_filled() -> None:
    """Order is kept: first what was missed, then what waited."""
    channel = Channel(KEY)
    channel.learn_mark(5)

    assert channel.accept(stored(9), 7) is Verdict.ASIDE
    assert channel.accept(live(10), 9) is Verdict.ASIDE
    assert channel.hole == Hole(5, 7)
    channel.fill(7, [stored(6), stored(7)])

    assert ids(channel.take_due()) == [6, 7, 9, 10]
    assert (channel.aside, channel.cursor) == (None, 9)


def test_what_expired_in_the_hole_is_simply_not_there() -> None:
    """The hole closes although the store has nothing to give."""
    channel = Channel(KEY)
    channel.learn_mark(5)
    channel.accept(stored(9), 7)

    channel.fill(7, [])

    assert ids(channel.take_due()) == [9]


def test_a_second_hole_behind_the_first_is_seen() -> None:
    """Filling one does not hide another."""
    channel = Channel(KEY)
    channel.learn_mark(1)
    channel.accept(stored(4), 2)
    channel.accept(stored(9), 7)

    channel.fill(2, [stored(2)])

    assert ids(channel.take_due()) == [2, 4]
    assert channel.hole == Hole(4, 7)


def test_a_mark_that_never_came_is_a_hole() -> None:
    """The position check finds what no later message would reveal."""
    channel = Channel(KEY)
    channel.learn_mark(5)

    found = [channel.miss(mark) for mark in (5, 8, 8)]

    assert found == [False, True, False]  # the second time it is being fetched already
    assert channel.hole == Hole(5, 8)


def test_an_unknown_cursor_delivers_and_learns() -> None:
    """While the store is away nothing is held back."""
    channel = Channel(KEY)

    assert channel.accept(stored(9), 7) is Verdict.DUE
    assert channel.cursor == 9


def test_what_waits_for_a_hole_is_bounded() -> None:
    """Past the bound the caller is told to let the clients go."""
    channel = Channel(KEY)
    channel.learn_mark(1)

    verdicts = {channel.accept(stored(i), i - 1) for i in range(3, MAX_ASIDE + 3)}

    assert verdicts == {Verdict.ASIDE}
    assert channel.accept(live(10**6), 0) is Verdict.OVERRUN


@given(st.data())
def test_stored_messages_come_once_and_in_order(data: st.DataObject) -> None:
    """Whatever is lost, repeated or delayed on the way, a channel that may ask the store is complete."""
    chain = sorted(data.draw(st.sets(st.integers(1, 1000), min_size=1, max_size=30)))
    prevs = dict(zip(chain, [0, *chain], strict=False))
    arrivals = data.draw(st.lists(st.sampled_from(chain), max_size=60))
    channel = Channel(KEY)
    channel.learn_mark(0)
    delivered: list[int] = []

    for message_id in [*arrivals, chain[-1]]:
        channel.accept(stored(message_id), prevs[message_id])
        if data.draw(st.booleans()):
            _fill_from(channel, chain)
        delivered += ids(channel.take_due())
    _fill_from(channel, chain)
    delivered += ids(channel.take_due())

    assert delivered == chain


def _fill_from(channel: Channel, chain: list[int]) -> None:
    while (hole := channel.hole) is not None:
        channel.fill(hole.until, [stored(i) for i in chain if hole.after < i <= hole.until])


@given(st.lists(st.booleans(), max_size=40), st.randoms())
def test_leaving_keeps_everybody_else(steps: list[bool], random: object) -> None:
    """Places stay right under any order of joining and leaving."""
    channel = Channel(KEY)
    here: list[Taker] = []

    for joins in steps:
        if joins or not here:
            here.append(Taker())
            channel.join(here[-1])
        else:
            gone = here.pop(len(here) // 2)
            channel.leave(gone)

        assert {id(s) for s in channel.subscribers} == {id(s) for s in here}
        assert all(channel.subscribers[s.place] is s for s in channel.subscribers)


def test_a_hub_keeps_only_channels_with_somebody_in_or_on_the_way() -> None:
    """C11: no key stays in memory after its last client, and none that nobody subscribed to."""
    hub = Hub()
    channel = hub.open(KEY)
    assert hub.open(KEY) is channel
    subscriber = Taker()

    hub.join(channel, subscriber)
    hub.leave(channel, subscriber)
    assert hub.get(KEY) is channel  # another handshake is under way (L6)
    hub.abandon(channel)

    assert hub.get(KEY) is None
    assert len(hub) == 0
    assert (hub.created, hub.deleted) == (1, 1)


def test_a_hub_lists_a_channel_once_a_round() -> None:
    """However many messages are due to it."""
    hub = Hub()
    channel = hub.open(KEY)

    hub.accept(channel, live(1), 0)
    hub.accept(channel, live(2), 0)

    assert hub.take_dirty() == [channel]
    assert hub.take_dirty() == []


@pytest.mark.parametrize("realm", ["", "ns"])
def test_realms_have_their_own_channels(realm: str) -> None:
    """The same text in two realms is two keys."""
    hub = Hub()
    hub.open(Key(realm, "a", "user"))

    assert hub.get(Key("other", "a", "user")) is None
