"""Books of both sides: whatever is lost on the way, owner and holder agree in the end."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import Node, Role
from appmodel.core.names import Key, parse_key
from appmodel.errors import LimitReached
from comet.core.attaching import GONE, Books, Entry, Reading, Report, digest_of
from comet.core.holders import KEY_SIZE, MAX_KEYS, Holder, Holders
from comet.core.message import Message

KEYS = [Key("", name, "user") for name in "abcdef"]
HOLDER = Node(Role.COMET, "holder", 1)
LIMIT = 1_000_000  # bytes


def message(message_id: int = 1, body: bytes = b"{}") -> Message:
    return Message(message_id, body, stored=True)


MOST_KEYS = 50


def new_holders(limit: int = LIMIT) -> tuple[Holders, list[Holder]]:
    """An owner's books, and the holders that were said to have mail."""
    woken: list[Holder] = []
    return Holders(limit=limit, most_keys=MOST_KEYS, wake=woken.append), woken


@dataclass
class Pair:
    """A holder with its hub, and an owner; `send` carries one report, or loses it."""

    hub: dict[Key, Reading] = field(default_factory=dict)
    wakes: int = 0

    def __post_init__(self) -> None:
        self.books = Books(self._wake)
        self.holders, _ = new_holders()

    def _wake(self) -> None:
        self.wakes += 1

    def change(self, key: Key, online: int) -> None:
        if online == GONE:
            self.hub.pop(key, None)
        else:
            self.hub[key] = Reading(online, online * 10)
        self.books.touch(key)

    def send(self, limit: int, fate: str) -> bool:
        """`fate`: "arrives", "lost", or "unanswered" (it arrives and nobody says so)."""
        entries, restart = self.books.take(lambda key, _: self.hub.get(key), limit)
        report = Report(
            HOLDER, tuple(entries), restart, len(self.books), self.books.digest, clock=0, now=0.0
        )
        in_step = fate != "lost" and self.holders.apply(report, now=0.0)
        if fate == "arrives" and in_step:
            self.books.settle()
        else:
            self.books.lose(entries)
        return in_step

    @property
    def known(self) -> dict[Key, Reading]:
        """What the owner believes."""
        found = {key: self.holders.get(key) for key in KEYS}
        return {key: Reading(r.online, r.acknowledged) for key, r in found.items() if r is not None}


changes = st.tuples(st.just("change"), st.sampled_from(KEYS), st.integers(GONE, 3))
reports = st.tuples(
    st.just("send"), st.integers(1, 4), st.sampled_from(["arrives", "lost", "unanswered"])
)
forgets = st.tuples(st.just("forget"), st.none(), st.none())


@given(st.lists(st.one_of(changes, reports, forgets), max_size=40))
def test_when_reports_arrive_again_the_owner_knows_what_is_true(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Lost reports, lost answers and an owner that forgets: some reports later both books agree."""
    pair = Pair()
    for what, first, second in steps:
        if what == "change":
            pair.change(first, second)
        elif what == "send":
            pair.send(first, second)
        else:
            for holder in pair.holders:
                pair.holders.drop(holder)

    for _ in range(2 * len(KEYS) + 2):  # a heartbeat that finds a difference, then everything anew
        pair.send(limit=1, fate="arrives")

    assert pair.known == pair.hub
    assert not pair.books.is_due


@given(st.lists(st.one_of(changes, reports), max_size=40))
def test_a_report_that_is_in_step_leaves_no_difference_behind(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Count and digest cannot agree by accident: then the owner has exactly the keys that were told."""
    pair = Pair()
    for what, first, second in steps:
        if what == "change":
            pair.change(first, second)
        elif pair.send(first, second) and not pair.books.is_due:
            assert pair.known == pair.hub


def test_digests_of_keys_that_swap_letters_differ() -> None:
    """Linear checksums are blind for this: a1 and b2 instead of a2 and b1."""
    a1, a2, b1, b2 = (Key("", name, "user") for name in ("a1", "a2", "b1", "b2"))

    assert digest_of(a1) ^ digest_of(b2) != digest_of(a2) ^ digest_of(b1)


def test_a_key_that_came_and_went_unreported_is_no_news() -> None:
    """Nothing is told of what the owner never knew."""
    pair = Pair()
    pair.change(KEYS[0], 1)
    pair.change(KEYS[0], GONE)

    entries, _ = pair.books.take(lambda key, _: pair.hub.get(key), 10)

    assert entries == []
    assert pair.books.is_empty


def test_a_key_is_told_when_the_owner_has_answered() -> None:
    """A report on its way may be lost: who waits for the owner to know waits for its answer."""
    pair = Pair()
    pair.change(KEYS[0], 1)

    entries, _ = pair.books.take(lambda key, _: pair.hub.get(key), 10)
    on_its_way = pair.books.has_told(KEYS[0])
    pair.books.lose(entries)
    lost = pair.books.has_told(KEYS[0])
    pair.send(limit=10, fate="arrives")

    assert (on_its_way, lost, pair.books.has_told(KEYS[0])) == (False, False, True)


def test_all_is_told_when_the_owner_has_answered_to_the_newest_change() -> None:
    """Of a key that it knew before, too: who comes in counts when it has heard of him."""
    pair = Pair()
    pair.change(KEYS[0], 0)
    pair.send(limit=10, fate="arrives")
    seen = [pair.books.has_told_all(KEYS[0])]

    pair.change(KEYS[0], 1)
    seen.append(pair.books.has_told_all(KEYS[0]))
    entries, _ = pair.books.take(lambda key, _: pair.hub.get(key), 10)
    seen.append(pair.books.has_told_all(KEYS[0]))
    pair.books.lose(entries)
    seen.append(pair.books.has_told_all(KEYS[0]))
    pair.send(limit=10, fate="arrives")
    seen.append(pair.books.has_told_all(KEYS[0]))

    assert seen == [True, False, False, False, True]
    assert pair.known == pair.hub


def test_presence_is_the_sum_of_all_holders() -> None:
    """Subscribers add up; the highest acknowledgement counts."""
    holders, _ = new_holders()
    for number, name in enumerate(("h1", "h2")):
        entry = Entry(KEYS[0], number + 1, 100 * number)
        node = Node(Role.COMET, name, 1)
        assert holders.apply(
            Report(node, (entry,), True, 1, digest_of(KEYS[0]), clock=0, now=0.0), now=0.0
        )

    remote = holders.get(KEYS[0])

    assert remote is not None
    assert (remote.online, remote.acknowledged) == (3, 100)
    for holder in holders:
        holders.drop(holder)
    assert holders.get(KEYS[0]) is None
    assert len(holders) == 0


def test_keys_above_the_limit_are_refused_and_nothing_else_is() -> None:
    """What is attached stays, is told anew and goes; and a holder that begins anew has its own room."""
    holders, _ = new_holders()
    keys = [parse_key(str(number)) for number in range(MOST_KEYS + 1)]

    def report(keys: list[Key], online: int = 1, *, restart: bool = False) -> None:
        entries = tuple(Entry(key, online, 0) for key in keys)
        holders.apply(Report(HOLDER, entries, restart, 0, 0, clock=0, now=0.0), now=0.0)

    report(keys[:MOST_KEYS])
    with pytest.raises(LimitReached, match=f"hold {MOST_KEYS} keys"):
        report(keys[MOST_KEYS:])
    report(keys[:2], online=2)
    report(keys[:1], online=GONE)
    report(keys[MOST_KEYS:])
    report(keys[1:], restart=True)

    assert len(holders) == MOST_KEYS
    with pytest.raises(LimitReached):
        report(keys, restart=True)
    assert len(holders) == MOST_KEYS


def test_a_report_that_a_newer_one_has_overtaken_says_nothing() -> None:
    """After an owner stood still, both lie in its socket, and nothing keeps their order."""
    holders, _ = new_holders()
    late = Report(HOLDER, (Entry(KEYS[0], 1, 0),), False, 1, digest_of(KEYS[0]), clock=0, now=1.0)
    newer = Report(HOLDER, (Entry(KEYS[1], 1, 0),), True, 1, digest_of(KEYS[1]), clock=0, now=2.0)

    assert holders.apply(newer, now=0.0)
    holders.apply(late, now=0.0)

    assert (holders.get(KEYS[0]), len(holders)) == (None, 1)


def test_keys_of_one_message_travel_as_one_item() -> None:
    """In the order of sending; another message begins another item, and so does a great many keys."""
    _, woken = new_holders()
    holder = Holder(HOLDER, limit=100 * LIMIT, wake=woken.append)
    first, second = message(1), message(2)

    for number in range(MAX_KEYS + 1):
        holder.add(first, Key("", str(number), ""), number)
    holder.add(second, KEYS[0], 7)

    items = holder.take(100 * LIMIT)
    assert [(item.id, len(item.keys)) for item in items] == [(1, MAX_KEYS), (1, 1), (2, 1)]
    assert items[0].prevs == tuple(range(MAX_KEYS))
    assert woken == [holder]
    assert not holder.has_mail


def test_a_full_queue_is_emptied_and_counted() -> None:
    """A holder that does not answer costs a bound, and what it loses is in the store."""
    _, woken = new_holders()
    holder = Holder(HOLDER, limit=3 * KEY_SIZE, wake=woken.append)

    for number in range(3):
        holder.add(message(number), KEYS[0], 0)

    assert holder.dropped == 3
    assert holder.take(LIMIT) == []
    holder.add(message(9), KEYS[0], 0)
    assert [item.id for item in holder.take(LIMIT)] == [9]


@pytest.mark.parametrize("limit", [1, KEY_SIZE * 3, LIMIT])
def test_batches_keep_the_order_and_lose_nothing(limit: int) -> None:
    """However small a batch may be, each has at least one item."""
    _, woken = new_holders()
    holder = Holder(HOLDER, limit=LIMIT, wake=woken.append)
    for number in range(10):
        holder.add(message(number), KEYS[number % 3], 0)

    taken: list[int] = []
    while items := holder.take(limit):
        taken += [item.id for item in items]

    assert taken == list(range(10))
