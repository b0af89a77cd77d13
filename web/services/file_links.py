"""Files that messages speak of: who mentioned which, and when last.

    msgType 2, objectContent.responseUpload {"fid","fileName","fileUrl","size"}     a row of file_link

Source: appmsgsrv app/fileLink.go; spec/appmsgsrv.md 8.7.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from appmodel.errors import BadInput
from appmodel.io.database import Database
from appmodel.orm.base import now
from appmodel.orm.files import FileLink
from appmodel.orm.upserts import upsert
from web.core.decoding import decode


class Upload(msgspec.Struct, rename="camel"):
    """What a client's upload was answered."""

    fid: Annotated[str, Meta(min_length=1, max_length=64)]
    file_name: Annotated[str, Meta(max_length=255)]
    file_url: Annotated[str, Meta(max_length=255)]
    size: Annotated[int, Meta(ge=0, lt=2**31)]


class _ObjectContent(msgspec.Struct, rename="camel"):
    response_upload: Upload


_DECODER = msgspec.json.Decoder(_ObjectContent)


class FileLinks:
    """The bookkeeping."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, sender_id: str, described: Mapping[str, Any]) -> None:
        """A message with this objectContent is about to be sent.

        Raises:
            BadInput: its responseUpload is missing or not as it must be.
            Unavailable: the database is away.
        """
        upload = upload_of(described)
        row = {
            "sender_id": sender_id,
            "file_id": upload.fid,
            "file_name": upload.file_name,
            "file_url": upload.file_url,
            "size": upload.size,
            "updated": now(),
        }
        await self._database.write(
            lambda session: upsert(
                session, FileLink, [row], keys=["sender_id", "file_id"], update=["updated"]
            )
        )


def upload_of(described: Mapping[str, Any]) -> Upload:
    """The file of an objectContent. Raises BadInput with the place of what is wrong."""
    try:
        return decode(_DECODER, msgspec.json.encode(described)).response_upload
    except BadInput as error:
        raise BadInput(f"msg.objectContent.{error.field}", error.value, error.expected) from None
