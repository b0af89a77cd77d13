"""Files in a bucket of Amazon S3, MinIO, Ceph and others that speak the same.

botocore, for it is what Amazon keeps; it blocks. The extra "s3" installs it.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from appmodel.errors import ConfigError, NotFound, Unavailable
from web.config import S3Config

TRIES = 2  # of one request
GONE = {"NoSuchKey", "404"}
BEYOND = "InvalidRange"  # reading from the end on

log = structlog.get_logger(__name__)


class S3:
    """A `Store`; see buckets.py. A client of botocore may be used by several threads."""

    def __init__(self, config: S3Config, *, connections: int, timeout: float) -> None:
        """Connects when it is first used. `timeout`: seconds of silence.

        Raises:
            ConfigError: botocore is not installed, or does not like the configuration.
        """
        try:
            import botocore.config  # only who stores there has it
            import botocore.exceptions
            import botocore.session
        except ImportError:
            raise ConfigError(
                "web.files.store", "s3", 'botocore: install "appmsgsrv[s3]"'
            ) from None
        self._bucket = config.bucket
        settings = botocore.config.Config(
            signature_version="s3v4",
            connect_timeout=min(3.0, timeout),
            read_timeout=timeout,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
            max_pool_connections=connections,
            s3={"addressing_style": "path" if config.path_style else "virtual"},
            request_checksum_calculation="when_required",  # others than Amazon do not know the new ones
            response_checksum_validation="when_required",
        )
        try:
            self._client: Any = botocore.session.Session().create_client(
                "s3",
                region_name=config.region,
                endpoint_url=config.endpoint or None,
                aws_access_key_id=config.access_key or None,
                aws_secret_access_key=str(config.secret_key) or None,
                config=settings,
            )
        except (ValueError, botocore.exceptions.BotoCoreError) as error:
            raise ConfigError("web.files.s3", config.endpoint, str(error)) from None
        self._errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)

    def put(self, fid: str, draft: Path) -> None:
        """See Store.put."""
        with self._asking(fid), draft.open("rb") as body:
            self._client.put_object(Bucket=self._bucket, Key=fid, Body=body)

    def read(self, fid: str, start: int, size: int) -> bytes:
        """See Store.read."""
        piece = f"bytes={start}-{start + size - 1}"
        with self._asking(fid):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=fid, Range=piece)
            except self._errors as error:
                if _code(error) == BEYOND:
                    return b""
                raise
            with contextlib.closing(answer["Body"]) as body:
                return bytes(body.read())

    def delete(self, fid: str) -> None:
        """See Store.delete."""
        with self._asking(fid):
            self._client.delete_object(Bucket=self._bucket, Key=fid)

    def close(self) -> None:
        """See Store.close."""
        self._client.close()

    @contextlib.contextmanager
    def _asking(self, fid: str) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            code = _code(error)
            if code in GONE:
                raise NotFound(f"fid: there is no file {fid!r}") from None
            log.warning("files", store="s3", bucket=self._bucket, error=code or str(error)[:200])
            raise Unavailable("files: their bucket is away, or refuses") from None


def _code(error: Exception) -> str:
    """What S3 called it; "" if it did not answer."""
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
