"""Files: what a message may say of one, what may be shown in a browser, and who may read it.

    objectContent.responseUpload    {"fid":"3,0163","fileName":"a.png","fileUrl":"weed.internal:8080/3,0163","size":9}
    our own files                   /v2/files/<fid>?expires=1700000000&sign=<32 hexadecimal digits>

Whoever has such an address may read the file until it expires: an <img> sends no credential. `sign` is an
HMAC over fid and time.

Pictures, sound and video are shown where they stand. All else is handed over as a download without a type:
a page or an SVG from here must never run as ours, whatever its sender called it.

Source: spec/appmsgsrv.md 8.7.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta

from appmodel.errors import BadInput, Unauthorized
from web.core.decoding import decode
from web.core.fields import number_of, text_of

DOWNLOAD = "application/octet-stream"
SHOWN = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"),
        *("audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/wav", "audio/webm"),
        *("audio/amr", "audio/3gpp", "video/mp4", "video/webm", "video/3gpp", "video/quicktime"),
    }
)
MAX_NAME = 255  # characters: columns of names and addresses

_FID = re.compile(r"[0-9a-f]{32}")
_SIGN = re.compile(r"[0-9a-f]{32}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_WEED = re.compile(r"/[0-9]{1,10},[0-9A-Za-z_]{1,64}")  # volume, key and cookie
_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]")
_UPLOAD = "msg.objectContent.responseUpload"


class Upload(msgspec.Struct, rename="camel"):
    """What a client's upload was answered."""

    fid: Annotated[str, Meta(min_length=1, max_length=64)]
    file_name: Annotated[str, Meta(max_length=MAX_NAME)]
    file_url: Annotated[str, Meta(max_length=MAX_NAME)]
    size: Annotated[float, Meta(ge=0, lt=2**31)]  # bytes, whole; JSON may say 9.0


class _ObjectContent(msgspec.Struct, rename="camel"):
    response_upload: Upload


_DECODER = msgspec.json.Decoder(_ObjectContent)
_ANSWER = msgspec.json.Decoder(dict[str, Any])


def upload_of(described: Mapping[str, Any]) -> Upload:
    """The file of an objectContent. Raises BadInput with the place of what is wrong."""
    try:
        upload = decode(_DECODER, msgspec.json.encode(described)).response_upload
    except BadInput as error:
        raise BadInput(f"msg.objectContent.{error.field}", error.value, error.expected) from None
    number_of(f"{_UPLOAD}.size", upload.size)
    text_of(f"{_UPLOAD}.fid", upload.fid, 64)
    text_of(f"{_UPLOAD}.fileName", upload.file_name, MAX_NAME)
    text_of(f"{_UPLOAD}.fileUrl", upload.file_url, MAX_NAME)
    return upload


def is_stored_file(target: str) -> bool:
    """Whether a path is that of one file of weed-fs, as its `fileUrl` is: /3,01637037d6.

    A client wrote it, and we shall send DELETE there: a folder of a filer, or a query, is none of ours to delete.
    """
    return _WEED.fullmatch(target) is not None


def is_gone(status: int, body: bytes) -> bool:
    """Whether the answer to a DELETE says that the file is no more: weed-fs answers JSON without "error"."""
    if not 200 <= status < 300:
        return status == 404
    try:
        said = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return not isinstance(said.get("error"), str)


def fid_of(text: str) -> str:
    """The id of a file of ours to look for; nothing else ever becomes a path. Raises BadInput."""
    if not _FID.fullmatch(text):
        raise BadInput("fid", text, "32 hexadecimal digits")
    return text


def name_of(text: str) -> str:
    """A file's name, as people see it. Raises BadInput."""
    return text_of("name", text, MAX_NAME, least=1)


def media_type_of(content_type: str) -> str:
    """What a file is kept as: a type that may be shown, or a download."""
    named = content_type.partition(";")[0].strip().lower()
    return named if named in SHOWN else DOWNLOAD


def served_headers(name: str, media_type: str) -> dict[str, str]:
    """What keeps a file from being taken for a page of ours (RFC 6266, RFC 8187)."""
    media_type = media_type_of(media_type)  # of the row: what may be shown may change
    how = "attachment" if media_type == DOWNLOAD else "inline"
    plain = _PLAIN.sub("_", name)
    return {
        "Content-Type": media_type,
        "Content-Disposition": f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",  # an <img> of the company's own site
    }


class FileSigner:
    """Makes and checks the addresses of files. Times are Unix seconds."""

    def __init__(self, key: bytes) -> None:
        """`key`: derived from the cluster's secret, the same on all nodes."""
        self._key = key

    def query(self, fid: str, expires: int) -> str:
        """What stands behind the "?" of an address that may be read until `expires`."""
        return f"expires={expires}&sign={self._sign(fid, str(expires))}"

    def check(self, fid: str, expires: str, sign: str, *, now: float) -> None:
        """Whether a file may be read with this address.

        Raises:
            Unauthorized: it is not one of ours, or its time is over.
        """
        formed = _SECONDS.fullmatch(expires) and _SIGN.fullmatch(sign)
        if not formed or not hmac.compare_digest(sign, self._sign(fid, expires)):
            raise Unauthorized("sign: this address was not made here")
        if now >= int(expires):
            raise Unauthorized("expires: the time of this address is over")

    def _sign(self, fid: str, expires: str) -> str:
        return hmac.digest(self._key, f"{fid} {expires}".encode(), "sha256")[:16].hex()
