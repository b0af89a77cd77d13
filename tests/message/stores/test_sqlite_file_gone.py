"""A store whose file is taken away says so: nothing is accepted into a file that nobody finds again."""

from pathlib import Path

import pytest

from appmodel.core.message import Save
from appmodel.core.names import parse_key
from appmodel.errors import NotStored
from message.config import MessageConfig, SqliteConfig
from message.stores.sqlite import open_sqlite

SAVE = Save(b"p" * 16, 1, (parse_key("k"),), b"{}", 4e9)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_removed_file_is_noticed(tmp_path: Path, replaced: bool) -> None:
    """The push is refused and the node is not ready, whether or not another file took its place."""
    path = tmp_path / "messages.db"
    async with open_sqlite(MessageConfig(sqlite=SqliteConfig(path=str(path)))) as store:
        await store.save([SAVE])
        path.rename(tmp_path / "elsewhere.db")
        if replaced:
            path.touch()

        with pytest.raises(NotStored, match="removed or replaced"):
            await store.save([SAVE])

        assert store.trouble is not None
        (tmp_path / "elsewhere.db").rename(path)
        await store.save([SAVE])
