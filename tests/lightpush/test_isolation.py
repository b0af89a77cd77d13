"""Tenant isolation: whatever two namespaces do, neither finds a trace of the other."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.lightpush.installation import INBOX, Installation, one_node
from tests.lightpush.neighbours import ACTIONS, ANDROID, ROOMS, USERS, Side, open_pair
from tests.lightpush.world import becomes
from tests.message.stores.redis_opening import or_skip
from tools.servers.redis import redis_server

EXAMPLES = 3  # of each kind of store: each of SUFFIXES has its turn
MORE = 6  # steps of an example, beside each action once on each side
PATIENCE = 30.0  # seconds for an example

# What is put behind the key of the one makes the key of the other: joined to a room or a user, both may look the
# same (W27). With "#b" even ids of clients are the same in both.
SUFFIXES = ["#b", "#b", "#b", "/b", "_b", "#b"]

Step = tuple[str, int, int, str]  # action, side, who, room

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["sql", "redis"])
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A node that has who is present and what was pushed in SQLite, or in Redis."""
    folder = tmp_path_factory.mktemp("isolation")
    with ExitStack() as stack:
        books = {"store": request.param, "offline_after": "100ms"}
        if request.param == "redis":
            stack.enter_context(or_skip())
            redis = stack.enter_context(redis_server(folder / "redis"))
            books["redis"] = f"redis://{redis.address}/0"
        yield stack.enter_context(one_node(folder, **books))


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Each action once on each side, and some more, in any order."""
    sides, people = st.integers(0, 1), st.integers(0, len(USERS) - 1)
    actions = [(action, side) for action in ACTIONS for side in (0, 1)]
    actions += draw(
        st.lists(st.tuples(st.sampled_from([*ACTIONS]), sides), min_size=MORE, max_size=MORE)
    )
    return [
        (action, side, draw(people), draw(st.sampled_from(ROOMS)))
        for action, side in draw(st.permutations(actions))
    ]


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # an example is a second long: a shorter one would take minutes
)
@given(script=scripts(), flushed=st.integers(0, 1))
def test_neighbours_find_no_trace_of_each_other(
    place: Installation, script: list[Step], flushed: int
) -> None:
    """By any event and any call, of any name: not in what they hear, read, or are told by comets; nor in any number."""
    number = next(_numbers)
    keys = [f"/n{number}", f"/n{number}{SUFFIXES[number % len(SUFFIXES)]}"]
    trio.run(_live, place, keys, script, flushed)


async def _live(
    place: Installation, keys: Sequence[str], script: Sequence[Step], flushed: int
) -> None:
    marks = ["MARKofONE", "MARKofTWO"]
    with trio.fail_after(PATIENCE):
        async with open_pair(place, keys, marks) as sides:
            for action, at, who, room in script:
                await sides[at].do(action, sides[1 - at], who=who, room=room)
            await _twins(sides)
            for side, other in zip(sides, reversed(sides), strict=True):
                await side.agrees()
                expected = side.present["twins"] - {other.name(0)}  # who is spared
                assert await side.push_to(other, "twins") == len(expected)
            await _come_again(sides)
            await _flush(sides[flushed])
            await sides[1 - flushed].agrees()
            for side in sides:
                for device in side.clients.values():
                    await side.look(device)
            for side, foreign in zip(sides, reversed(marks), strict=True):
                assert side.alien == []
                assert side.mark.encode() in b"".join(side.seen)
                requests = [repr(heard).encode() for heard in side.back_end.requests]
                for seen in (*side.seen, *requests):
                    assert foreign.encode() not in seen


async def _twins(sides: Sequence[Side]) -> None:
    """iPhones that may have one id, one in each namespace: what one does and has done to it is not the other's."""
    here, there = sides
    for action in ("join", "info", "write"):
        await here.do(action, there, who=1, room="twins")
        await there.do(action, here, who=0, room="twins")
    await here.mute(there, 1, "twins")
    await here.push_to(there, "twins")
    await here.acknowledge(there, 1, "twins")
    await there.push_to(here, "twins")
    await there.tenant.until_reported(max(there.pushes), apnsCount="1")
    await here.leave(there, 1, "twins")


async def _come_again(sides: Sequence[Side]) -> None:
    """Android clients are in each room, go, miss what is pushed, and read it; iPhones are told by Apple."""
    for side, other in zip(sides, reversed(sides), strict=True):
        for who in ANDROID:
            for room in ROOMS:
                await side.join(other, who, room)
        await side.info(other, 0, "")  # an iPhone with a token
        await side.agrees()
    for side, other in zip(sides, reversed(sides), strict=True):
        for room in ROOMS:
            await side.push_to(other, room)
    for side, other in zip(sides, reversed(sides), strict=True):
        for who in ANDROID:
            await side.leave(other, who, "")
    before = [set(side.pushes) for side in sides]
    for side, other in zip(sides, reversed(sides), strict=True):
        for room in (*ROOMS, f"room-{side.mark}"):
            await side.push_to(other, room)
    for side, old in zip(sides, before, strict=True):
        newest = sorted(side.pushes.keys() - old)[-INBOX:]
        for who in ANDROID:
            await side.misses(who, newest)
        while not side.letters:  # noqa: ASYNC110  Apple tells nobody
            await trio.sleep(0.02)


async def _flush(side: Side) -> None:
    """All of it goes."""
    tenant = side.tenant
    assert await tenant.post("namespace/save", offline="on") == {}
    admin = tenant.world.admin
    for route in ("namespace/clear-realtime-data", "clear-legacy-client"):
        await admin.post(route, namespace=tenant.key)
    for call in ("clear", "flush"):
        assert await admin.get(f"namespace/{call}/{tenant.key[1:].replace('#', '%23')}") == {}

    async def login() -> object:
        return await tenant.post("login")

    await becomes(login, (400, "namespace not found"))
    side.clients.clear()
