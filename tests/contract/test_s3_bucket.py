"""A bucket of S3 keeps the contract, over HTTP to a server of its own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from appmodel.errors import Unavailable
from appmodel.runtime.config import Password
from tests.contract.bucket import ONE, BucketContract
from tools.servers.daemon import Missing
from tools.servers.ports import free_port
from tools.servers.s3 import ACCESS_KEY, SECRET_KEY, Server, s3_server
from web.config import S3Config
from web.services.s3_bucket import S3

_NUMBERS = count()


def s3(url: str, bucket: str, timeout: float = 30) -> S3:
    config = S3Config(
        endpoint=url, bucket=bucket, access_key=ACCESS_KEY, secret_key=Password(SECRET_KEY)
    )
    return S3(config, connections=2, timeout=timeout)


class TestS3Bucket(BucketContract):
    """On moto's server."""

    server: Server

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        try:
            with s3_server(tmp_path_factory.mktemp("s3")) as cls.server:
                yield
        except Missing as missing:
            pytest.skip(str(missing))

    @pytest.fixture
    def store(self) -> Iterator[S3]:
        bucket = f"files{next(_NUMBERS)}"
        self.server.make_bucket(bucket)
        store = s3(self.server.url, bucket)
        yield store
        store.close()

    def test_a_bucket_that_is_not_there(self, tmp_path: Path) -> None:
        """503, and the keys are in no error."""
        store = s3(self.server.url, "nowhere")
        (tmp_path / "draft").write_bytes(b"x")

        with pytest.raises(Unavailable) as caught:
            store.put(ONE, tmp_path / "draft")

        assert SECRET_KEY not in str(caught.value)
        store.close()

    def test_a_server_that_is_away(self, tmp_path: Path) -> None:
        """503, whatever is asked."""
        store = s3(f"http://127.0.0.1:{free_port()}", "files", timeout=1)
        (tmp_path / "draft").write_bytes(b"x")

        with pytest.raises(Unavailable, match="away"):
            store.put(ONE, tmp_path / "draft")
        with pytest.raises(Unavailable, match="away"):
            store.read(ONE, 0, 10)
        with pytest.raises(Unavailable, match="away"):
            store.delete(ONE)
        store.close()
