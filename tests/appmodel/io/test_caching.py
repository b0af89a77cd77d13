"""What is remembered of the database: never older than the bound, and one query for all who wait."""

from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
import sqlalchemy as sa
import trio
from sqlalchemy.orm import Session

from appmodel.errors import Unavailable
from appmodel.io import caching
from appmodel.io.caching import Cache, Changes
from appmodel.io.database import Database
from appmodel.orm.changes import Change, note_change
from appmodel.orm.people import User

QUICK = 0.3  # seconds; the laws hold for any, also if a poll is late: then nothing is remembered
SLOW = 60.0  # seconds: whatever a test needs


def nicknames(session: Session, uids: Sequence[str]) -> dict[str, str]:
    """The loader of these tests."""
    wanted = sa.select(User.id, User.nickname).where(User.id.in_(uids))
    return dict(iter(session.execute(wanted)))


def subject(uid: str) -> str:
    """What a change of a user is noted under."""
    return f"{uid}@user"


def add(session: Session, *uids: str) -> None:
    """Users whose nickname is "old"."""
    session.add_all(User(id=uid, nickname="old") for uid in uids)


def rename(session: Session, uid: str, nickname: str) -> None:
    """As a use case does it: the change and its note in one transaction."""
    session.execute(sa.update(User).where(User.id == uid).values(nickname=nickname))
    note_change(session, subject(uid))


def elsewhere(database: Database, uid: str, nickname: str) -> None:
    """The same on another node: this one is not told."""
    with Session(database.engine.execution_options(writes=True)) as session:
        rename(session, uid, nickname)
        session.commit()


@pytest.fixture
async def changes(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Changes]:
    """A poll that runs."""
    staleness = getattr(request, "param", SLOW)
    await database.write(lambda session: add(session, "u1", "u2", "u3"))
    async with trio.open_nursery() as nursery:
        changes = Changes(database, staleness=staleness)
        await nursery.start(changes.run)
        yield changes
        nursery.cancel_scope.cancel()


@pytest.fixture
def cache(database: Database, changes: Changes) -> Cache[str, str]:
    """Nicknames by uid."""
    return Cache(database, changes, load=nicknames, subject_of=subject, limit=2)


quickly = pytest.mark.parametrize("changes", [QUICK], indirect=True)


async def fresh(changes: Changes) -> None:
    """Until the poll has begun."""
    while not changes.is_fresh:  # noqa: ASYNC110  nobody is told of it but by asking
        await trio.sleep(0.01)


async def asked(
    database: Database, cache: Cache[str, str], *uids: str
) -> tuple[int, list[str | None]]:
    """How many statements that took, of all that ran, and what was found."""
    before = database.statements
    found = [await cache.get(uid) for uid in uids]
    return database.statements - before, found


async def test_the_second_answer_costs_nothing(
    database: Database, changes: Changes, cache: Cache[str, str]
) -> None:
    """Also that there is nobody of that name."""
    await fresh(changes)
    assert await asked(database, cache, "u1", "nobody") == (2, ["old", None])

    assert await asked(database, cache, "u1", "nobody") == (0, ["old", None])


async def test_an_own_change_is_seen_at_once(
    database: Database, changes: Changes, cache: Cache[str, str]
) -> None:
    """Before any poll."""
    await fresh(changes)
    await cache.get("u1")

    await database.write(lambda session: rename(session, "u1", "new"))

    assert await cache.get("u1") == "new"


@quickly
async def test_a_change_elsewhere_is_seen_within_the_bound(
    database: Database, changes: Changes, cache: Cache[str, str]
) -> None:
    """Whenever it happens between two polls."""
    await fresh(changes)
    for turn in range(5):
        await cache.get("u1")
        await trio.sleep(QUICK * turn / 15)

        elsewhere(database, "u1", f"new{turn}")
        await trio.sleep(QUICK)

        assert await cache.get("u1") == f"new{turn}"


@quickly
async def test_a_note_behind_newer_ones_is_seen(
    database: Database, changes: Changes, cache: Cache[str, str]
) -> None:
    """A transaction that began early and commits late has a lower position than others before it."""
    await fresh(changes)
    with Session(database.engine.execution_options(writes=True)) as session:
        session.add(Change(position=1_000_000, subject="other"))
        session.commit()
    await cache.get("u1")
    await trio.sleep(QUICK)
    with Session(database.engine.execution_options(writes=True)) as session:
        session.execute(sa.update(User).where(User.id == "u1").values(nickname="late"))
        session.add(Change(position=999_999, subject=subject("u1")))
        session.commit()

    await trio.sleep(QUICK)

    assert await cache.get("u1") == "late"


@quickly
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_while_notes_cannot_be_read_answers_are_good_for_the_bound(
    database: Database, changes: Changes, cache: Cache[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the database is asked; and when it is away, so is the answer."""
    await fresh(changes)
    await cache.get("u1")

    async def away(_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(database, "read", away)
    await trio.sleep(2 * QUICK)
    with pytest.raises(Unavailable):
        await cache.get("u1")
    monkeypatch.undo()
    elsewhere(database, "u1", "new")

    assert await cache.get("u1") == "new"


@quickly
async def test_after_a_long_pause_everything_is_asked_anew(
    database: Database, changes: Changes, cache: Cache[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notes may be gone by then."""
    monkeypatch.setattr(caching, "OPEN_FOR", QUICK / 10)
    await fresh(changes)
    await cache.get("u1")
    with Session(database.engine.execution_options(writes=True)) as session:
        session.execute(sa.update(User).values(nickname="unnoted"))
        session.commit()

    await trio.sleep(QUICK)

    assert await cache.get("u1") == "unnoted"


async def test_who_waits_together_is_one_query(
    database: Database, changes: Changes, cache: Cache[str, str]
) -> None:
    """Whether the others ask for the same or for something else."""
    await fresh(changes)
    found: dict[str, str | None] = {}

    async def ask(uid: str) -> None:
        found[uid] = await cache.get(uid)

    before = database.statements
    async with trio.open_nursery() as nursery:
        for uid in ("u1", "u2", "u3", "nobody"):
            nursery.start_soon(ask, uid)

    assert found == {"u1": "old", "u2": "old", "u3": "old", "nobody": None}
    assert database.statements - before == 1


async def test_a_change_while_it_is_read_is_not_lost(database: Database, changes: Changes) -> None:
    """What was read before the change is answered, and not remembered."""
    await fresh(changes)
    caches: list[Cache[str, str]] = []

    def load(session: Session, uids: Sequence[str]) -> dict[str, str]:
        found = nicknames(session, uids)
        trio.from_thread.run_sync(tell, [subject("u1")])
        return found

    def tell(subjects: Iterable[str]) -> None:
        for hear in changes._listeners:
            hear(subjects)

    caches.append(Cache(database, changes, load=load, subject_of=subject))
    assert await caches[0].get("u1") == "old"

    assert len(caches[0]) == 0


async def test_it_is_bounded(database: Database, changes: Changes, cache: Cache[str, str]) -> None:
    """The oldest answers go."""
    await fresh(changes)

    for uid in ("u1", "u2", "u3"):
        assert await cache.get(uid) == "old"

    assert len(cache) == 2
