"""What every store of files keeps to.

class TestMyBucket(BucketContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]: ...
"""

from pathlib import Path

import pytest

from appmodel.errors import NotFound
from web.services.buckets import Bucket, Store

ONE, TWO = "4f" * 16, "4f02" * 8


class BucketContract:
    """Laws of `Store`, through the `Bucket` that everybody uses."""

    @pytest.fixture
    def bucket(self, store: Store) -> Bucket:
        return Bucket(store, threads=2, timeout=30)

    async def test_what_is_put_can_be_read(self, bucket: Bucket, tmp_path: Path) -> None:
        """Byte by byte, by pieces that begin anywhere."""
        data = bytes(range(256)) * 40
        await bucket.put(ONE, _draft(tmp_path, data))

        assert await bucket.read(ONE, 0, len(data)) == data
        assert await bucket.read(ONE, 0, 10) == data[:10]
        assert await bucket.read(ONE, 5000, 300) == data[5000:5300]

    async def test_the_end(self, bucket: Bucket, tmp_path: Path) -> None:
        """There a piece is shorter, behind it there is nothing."""
        await bucket.put(ONE, _draft(tmp_path, b"0123456789"))

        assert await bucket.read(ONE, 7, 10) == b"789"
        assert await bucket.read(ONE, 10, 10) == b""
        assert await bucket.read(ONE, 99, 10) == b""

    async def test_ids_are_different_files(self, bucket: Bucket, tmp_path: Path) -> None:
        """Also if they begin alike."""
        await bucket.put(ONE, _draft(tmp_path, b"one"))
        await bucket.put(TWO, _draft(tmp_path, b"two"))

        assert [await bucket.read(each, 0, 9) for each in (ONE, TWO)] == [b"one", b"two"]

    async def test_what_is_not_there(self, bucket: Bucket) -> None:
        """Nobody learns more than that."""
        with pytest.raises(NotFound, match=TWO):
            await bucket.read(TWO, 0, 10)

    async def test_what_is_deleted_is_gone(self, bucket: Bucket, tmp_path: Path) -> None:
        """And only that; deleting it again changes nothing."""
        await bucket.put(ONE, _draft(tmp_path, b"one"))
        await bucket.put(TWO, _draft(tmp_path, b"two"))

        await bucket.delete(ONE)
        await bucket.delete(ONE)

        with pytest.raises(NotFound):
            await bucket.read(ONE, 0, 10)
        assert await bucket.read(TWO, 0, 10) == b"two"

    async def test_putting_again_replaces(self, bucket: Bucket, tmp_path: Path) -> None:
        """All of it."""
        await bucket.put(ONE, _draft(tmp_path, b"a long one"))
        await bucket.put(ONE, _draft(tmp_path, b"short"))

        assert await bucket.read(ONE, 0, 99) == b"short"


def _draft(folder: Path, data: bytes) -> Path:
    path = folder / "draft"
    path.write_bytes(data)
    return path
