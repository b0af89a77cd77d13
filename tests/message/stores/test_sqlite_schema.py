"""Opening the SQLite file safely."""

import sqlite3
from pathlib import Path

import pytest

from appmodel.errors import ConfigError
from message.stores.sqlite import open_sqlite
from message.stores.sqlite_schema import SCHEMA_VERSION
from tests.contract.saves import NOW, A, Time, push
from tests.message.stores.opening import config, query


async def test_a_file_is_made_with_its_folder(tmp_path: Path) -> None:
    """Nothing has to be prepared, and nobody else may read it."""
    path = tmp_path / "new" / "folder" / "messages.db"

    async with open_sqlite(config(path), Time()) as store:
        await store.save([push(1)])
        files = [path.with_name(f"messages.db{suffix}") for suffix in ("", "-wal", "-shm")]
        modes = [oct(file.stat().st_mode & 0o777) for file in files]

    assert modes == ["0o600"] * 3
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


async def _refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        async with open_sqlite(config(path), Time()):
            pass
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    """And left as it was."""
    path = tmp_path / "messages.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipe (name TEXT)")
    database.close()
    before = path.read_bytes()

    assert "another program" in await _refusal(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Text, for instance."""
    path = tmp_path / "messages.db"
    path.write_text("Dear diary, " * 100)

    assert "not a database" in await _refusal(path)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An old program must not write into what it does not understand."""
    path = tmp_path / "messages.db"
    async with open_sqlite(config(path), Time()):
        pass
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()

    assert f"schema {SCHEMA_VERSION + 1}" in await _refusal(path)


async def test_an_older_file_is_changed(tmp_path: Path) -> None:
    """The first schema had no tails: its messages stay, and new ones may have some."""
    path = tmp_path / "messages.db"
    async with open_sqlite(config(path), Time()) as store:
        await store.save([push(1)])
    for statement in ("ALTER TABLE message DROP COLUMN tail", "PRAGMA user_version = 1"):
        query(path, statement)

    for _ in range(2):
        async with open_sqlite(config(path), Time()) as store:
            await store.save([push(2, body=b'{"n":1}', tails=[b'"t":1'])])
            page = await store.fetch(A, 0, limit=10)

    copy = b'{"n":1,"toUserKey":"a@user","t":1}'
    assert [message.body for message in page.messages] == [b'"body"', copy]
    assert query(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Pages overwritten with something else."""
    path = tmp_path / "messages.db"
    async with open_sqlite(config(path), Time()) as store:
        await store.save([push(1)])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)

    assert "malformed" in await _refusal(path)


async def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A folder where the file should be; a file where its folder should be."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    assert "cannot be used" in await _refusal(tmp_path / "folder")
    assert "cannot be made" in await _refusal(tmp_path / "file" / "messages.db")


async def test_a_file_has_one_store(tmp_path: Path) -> None:
    """A second one would give the same ids again; when the first is closed it may come."""
    path = tmp_path / "messages.db"
    async with open_sqlite(config(path), Time()) as store:
        assert "another process" in await _refusal(path)
        await store.save([push(1)])

    async with open_sqlite(config(path), Time()) as store:
        assert await store.marks([A]) == [NOW]
