"""A session is there exactly as long as somebody holds it, whatever several comets write at once."""

import random
from collections import Counter
from functools import partial

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.names import parse_key
from appmodel.core.sessions import Holder, SessionName, session_of
from appmodel.io.database import Database
from appmodel.orm.presence import Session, SessionHolder
from appmodel.orm.session_queries import (
    all_holders,
    count_held,
    held_after,
    release,
    write_gone,
    write_here,
)

A, B = Holder("a", 1), Holder("b", 1_700_000_000_000_000_000)
ROUNDS = 60


def names(*numbers: int) -> list[SessionName]:
    """Sessions of user `number`."""
    found = [session_of(parse_key(f"u{number}_Android-d@user")) for number in numbers]
    return [name for name in found if name is not None]


def ids(*numbers: int) -> list[str]:
    """Of the same."""
    return [name.id for name in names(*numbers)]


async def here(database: Database, holder: Holder, *numbers: int) -> None:
    """These come to `holder`."""
    await database.write(partial(write_here, names=names(*numbers), holder=holder))


async def gone(database: Database, holder: Holder, *numbers: int) -> None:
    """These leave it."""
    await database.write(partial(write_gone, ids=ids(*numbers), holder=holder))


async def rows(database: Database) -> dict[str, str]:
    """The state of each session."""
    found = await database.read(lambda session: session.scalars(sa.select(Session)).all())
    return {row.id: row.state for row in found}


async def holders(database: Database) -> set[tuple[str, Holder]]:
    """Who holds what."""
    wanted = sa.select(SessionHolder.session_id, SessionHolder.node, SessionHolder.incarnation)
    found = await database.read(lambda session: list(session.execute(wanted)))
    return {(session_id, Holder(node, incarnation)) for session_id, node, incarnation in found}


async def test_a_session_comes_and_goes(database: Database) -> None:
    """With all that is known of it."""
    await here(database, A, 1, 2)

    [row] = await database.read(
        lambda session: session.scalars(sa.select(Session).where(Session.id == ids(1)[0])).all()
    )
    assert (row.user_id, row.type, row.state) == ("u1", "Android", "init")
    assert row.created is not None
    assert row.created == row.updated

    await gone(database, A, 1)

    assert set(await rows(database)) == set(ids(2))
    assert await holders(database) == {(ids(2)[0], A)}


async def test_writing_again_changes_nothing_but_updated(database: Database) -> None:
    """A batch may be repeated; a state that the client has set stays."""
    await here(database, A, 1)
    await database.write(lambda session: session.execute(sa.update(Session).values(state="active")))

    await here(database, A, 1, 2)

    assert await rows(database) == {ids(1)[0]: "active", ids(2)[0]: "init"}
    [row] = await database.read(
        lambda session: session.scalars(sa.select(Session).where(Session.id == ids(1)[0])).all()
    )
    assert row.created is not None
    assert row.updated is not None
    assert row.updated > row.created


async def test_a_session_of_two_comets_lives_until_the_second_has_gone(database: Database) -> None:
    """Its client has moved from one to the other: the row, and its state, never go away."""
    await here(database, A, 1)
    await here(database, B, 1)
    await database.write(lambda session: session.execute(sa.update(Session).values(state="active")))

    await gone(database, A, 1)
    assert await rows(database) == {ids(1)[0]: "active"}

    await gone(database, B, 1)
    assert await rows(database) == {}
    assert await holders(database) == set()


async def test_going_twice_or_never_having_come_is_nothing(database: Database) -> None:
    """A session may come and go before it is written."""
    await here(database, B, 2)

    await gone(database, A, 1, 2)
    await gone(database, A, 1, 2)

    assert await holders(database) == {(ids(2)[0], B)}
    assert set(await rows(database)) == set(ids(2))


async def test_release_goes_in_steps_and_spares_what_others_hold(database: Database) -> None:
    """A comet that is gone leaves nothing behind; a comet of the same name that lives loses nothing."""
    reborn = Holder(A.node, 2)
    await here(database, A, *range(5))
    await here(database, B, 0)
    await here(database, reborn, 1)

    steps = []
    while count := await database.write(partial(release, holder=A, limit=2)):
        steps.append(count)

    assert steps == [2, 2, 1]
    assert await holders(database) == {(ids(0)[0], B), (ids(1)[0], reborn)}
    assert set(await rows(database)) == set(ids(0, 1))


async def test_what_a_holder_holds_is_counted_and_read_in_pages(database: Database) -> None:
    """Of this start of this comet only."""
    await here(database, A, *range(5))
    await here(database, B, 7)

    first = await database.read(partial(held_after, holder=A, after="", limit=3))
    rest = await database.read(partial(held_after, holder=A, after=first[-1], limit=3))

    assert first + rest == ids(*range(5))
    assert await database.read(partial(count_held, holder=A)) == 5
    assert set(await database.read(all_holders)) == {A, B}


@pytest.mark.parametrize("batch", [1, 500])
async def test_a_batch_is_few_statements(database: Database, batch: int) -> None:
    """Two for those that come, three for those that go, however many they are."""
    before = database.statements
    await here(database, A, *range(batch))
    come = database.statements - before
    await gone(database, A, *range(batch))

    assert come == 2
    assert database.statements - before - come == 3
    assert await rows(database) == {}


async def test_two_comets_at_once_agree_with_what_is_there(database: Database) -> None:
    """Clients move to and fro between two comets: in the end a session is there if and only if it is held.

    Without the lock on its row one comet would delete what the other has just come to hold.
    """
    chance = random.Random(4)
    held: dict[Holder, set[int]] = {A: set(), B: set()}

    async def live(holder: Holder, script: random.Random) -> None:
        for _ in range(ROUNDS):
            numbers = set(script.sample(range(3), 2))
            if script.random() < 0.5:
                await here(database, holder, *numbers)
                held[holder] |= numbers
            else:
                await gone(database, holder, *numbers)
                held[holder] -= numbers
            there = await rows(database)
            assert set(ids(*held[holder])) <= set(there), f"lost what {holder} holds"

    async with trio.open_nursery() as nursery:
        for holder in held:
            nursery.start_soon(live, holder, random.Random(chance.random()))

    wanted = {(one, holder) for holder, numbers in held.items() for one in ids(*numbers)}
    assert await holders(database) == wanted
    assert Counter(await rows(database)).keys() == {one for one, _ in wanted}
