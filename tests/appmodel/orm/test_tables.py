"""The tables as the models describe them."""

import sqlalchemy as sa
import trio

from appmodel.io.database import Database
from appmodel.orm.people import User


async def test_a_test_finds_no_rows_of_another(database: Database) -> None:
    """The fixture gives an empty database, however often it is asked."""
    for _ in range(2):
        found = await database.read(lambda session: session.scalar(sa.func.count(User.id).select()))
        assert found == 0
        await trio.lowlevel.checkpoint()
    await database.write(lambda session: session.add(User(id="u1", name="left behind")))


async def test_a_test_finds_no_rows_of_another_again(database: Database) -> None:
    """Whatever ran before."""
    found = await database.read(lambda session: session.scalars(sa.select(User)).all())

    assert found == []
