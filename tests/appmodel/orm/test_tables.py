"""The tables as the models describe them, on each kind of server."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session, selectinload

from appmodel.io.database import Database
from appmodel.orm.base import Base
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User


async def test_a_test_finds_no_rows_of_another(database: Database) -> None:
    """The fixture gives an empty database: see the next test."""
    await database.write(lambda session: session.add(User(id="u1", name="left behind")))


async def test_a_test_finds_no_rows_of_another_again(database: Database) -> None:
    """Whatever ran before."""
    found = await database.read(lambda session: session.scalars(sa.select(User)).all())

    assert found == []


async def test_a_time_comes_back_as_it_was(database: Database) -> None:
    """In UTC, to the microsecond, whatever zone it was written in."""
    moment = datetime(2026, 11, 21, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=8)))
    await database.write(lambda session: session.add(User(id="u1", created=moment)))

    found = await database.read(lambda session: session.scalars(sa.select(User.created)).one())

    assert found == moment
    assert found.tzinfo is UTC


async def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    """Nobody would know which one was meant."""
    naive = datetime(2026, 11, 21, tzinfo=UTC).replace(tzinfo=None)

    with pytest.raises(sa.exc.StatementError, match="without a zone"):
        await database.write(lambda session: session.add(User(id="u1", created=naive)))


async def test_any_text_of_people_is_kept(database: Database) -> None:
    """All of Unicode, also what MySQL's old utf8 does not hold."""
    nickname = "安妮 🙂 Ünï'\"\\%_"
    await database.write(lambda session: session.add(User(id="u1", nickname=nickname)))

    found = await database.read(lambda session: session.scalars(sa.select(User.nickname)).one())

    assert found == nickname


async def test_relations_load_only_when_they_are_asked_for(database: Database) -> None:
    """Else a list of people would cost a statement for each."""

    def add(session: Session) -> None:
        session.add(Tenant(id="t1", name="Acme"))
        session.add(User(id="u1", tenant_id="t1"))

    await database.write(add)

    def look(session: Session) -> str:
        user = session.scalars(sa.select(User)).one()
        with pytest.raises(InvalidRequestError, match="raise"):
            _ = user.tenant
        session.expunge_all()
        asked = session.scalars(sa.select(User).options(selectinload(User.tenant))).one()
        assert asked.tenant is not None
        return asked.tenant.name

    assert await database.read(look) == "Acme"


async def test_rows_need_no_more_than_their_key(database: Database) -> None:
    """What was not given has its default, in Python as in SQL that others write."""
    await database.write(lambda session: session.add(User(id="u1")))
    await database.write(
        lambda session: session.execute(
            sa.text("INSERT INTO customer (id, name) VALUES ('c1', 'by hand')")
        )
    )

    user = await database.read(lambda session: session.scalars(sa.select(User)).one())
    status = await database.read(
        lambda session: session.scalar(sa.text("SELECT status FROM customer"))
    )

    assert (user.name, user.status, user.role) == ("", 0, "member")
    assert status == 0


def test_every_key_has_a_name_that_every_server_takes() -> None:
    """PostgreSQL cuts what is longer than 63 characters, and MariaDB refuses more than 64."""
    tables = Base.metadata.sorted_tables
    names = [str(constraint.name) for table in tables for constraint in table.constraints]
    names += [str(index.name) for table in tables for index in table.indexes]

    assert all(0 < len(name) <= 63 and name != "None" for name in names)
