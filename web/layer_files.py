"""Files, wired: the bookkeeping of mentions, what we keep ourselves, and the cleaner."""

import trio

from appmodel.orm.base import now
from appmodel.runtime.service import Context
from web.api.v2_files import FilesPart
from web.config import FilesConfig, WebConfig
from web.core.file_rules import FileSigner
from web.services.buckets import Bucket, Store
from web.services.callers import Callers
from web.services.file_cleaning import Cleaner
from web.services.file_links import FileLinks
from web.services.folder_bucket import Folder
from web.services.s3_bucket import S3
from web.services.uploads import Uploads


class FilesLayer:
    """What messages and /v2 need of files. `run` must be running."""

    def __init__(self, context: Context, callers: Callers) -> None:
        """Raises ConfigError: the store cannot be used as it is configured."""
        config = context.settings.section(WebConfig)
        files, expire = config.files, config.app.expire
        self.links = FileLinks(context.database, flush=files.flush, limit=files.gathered)
        context.metrics.counter(
            "web_file_mentions_lost",
            "Mentions of files that were not noted.",
            lambda: self.links.lost,
        )
        self._bucket = Bucket(open_store(files), threads=files.threads, timeout=files.timeout)
        uploads = Uploads(context.database, self._bucket, files, expire=expire)
        self._cleaner = Cleaner(context.database, self._bucket, uploads, files, expire=expire)
        self.part = FilesPart(
            callers,
            uploads,
            FileSigner(context.credentials.derive(b"appmsg/file")),
            url=files.url,
            timeout=files.upload_timeout,
            now=now,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Its loops, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.links.run)
                nursery.start_soon(self._cleaner.run)
                task_status.started()
        finally:
            self._bucket.close()


def open_store(config: FilesConfig) -> Store:
    """Where the bytes are. Raises ConfigError."""
    if config.store == "s3":
        return S3(config.s3, connections=config.threads, timeout=config.timeout)
    return Folder(config.folder)
