"""Files of /v2.

POST   /v2/files?name=a.png     the bytes         201 {"fid","file_name","file_url","size","url","sha256","expires_at"}
GET    /v2/files/F?expires=T&sign=S               the bytes: for whoever has this address
GET    /v2/files/F[?tenant=T]                     the bytes: for callers of the same tenant
DELETE /v2/files/F[?tenant=T]                     204

`file_url` has no "http://" before it: clients of appmsgsrv put it there.

The front door takes uploads, for there bytes are read from the socket only when they are asked for; Quart would
gather them in memory. They are handed out in pieces of 256 KiB, and nothing is held open between two.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
import trio
from quart import Response as QuartResponse

from appmodel.core.origins import Origins
from appmodel.errors import BadInput
from appmodel.protocol.http import Request, Response, Route
from appmodel.protocol.http1 import HttpError
from web.api import openapi_files as described
from web.api.external import preflight
from web.api.v2_frame import Rule, headers, no_content, query, tenant_of
from web.core.file_rules import FileSigner, fid_of, media_type_of, name_of, served_headers
from web.core.principals import tenant_for
from web.services.callers import Callers
from web.services.uploads import File, NewFile, Uploads

_ENCODER = msgspec.json.Encoder()
JSON = ("Content-Type", "application/json")


class FileAnswer(msgspec.Struct):
    """A file that is kept now."""

    fid: str
    file_name: str
    file_url: Annotated[str, msgspec.Meta(description="`url` without its scheme")]
    size: Annotated[int, msgspec.Meta(description="Bytes")]
    url: Annotated[str, msgspec.Meta(description="Whoever has it may read the file until then")]
    sha256: str
    expires_at: Annotated[
        float, msgspec.Meta(description="Unix seconds; messages that speak of it keep it longer")
    ]


class FilesPart:
    """The handlers."""

    structs = (FileAnswer,)

    def __init__(
        self,
        callers: Callers,
        uploads: Uploads,
        signer: FileSigner,
        *,
        url: str,
        timeout: float,
        now: Callable[[], datetime],
    ) -> None:
        """
        Args:
            url: before the addresses of files; empty: as the upload was called.
            timeout: seconds for a whole upload.
        """
        self._callers, self._uploads, self._signer = callers, uploads, signer
        self._url, self._timeout, self._now = url.rstrip("/"), timeout, now
        self.rules = (
            Rule("GET", "/v2/files/<fid>", self.read, described.read()),
            Rule("DELETE", "/v2/files/<fid>", self.delete, described.delete()),
        )
        self.elsewhere = (described.upload(),)

    def routes(self, origins: Origins) -> list[Route]:
        """For the front door, and mounted in front of the breadth."""
        take = partial(self._take, origins)
        options = partial(preflight, origins)
        return [
            Route(method="POST", path="/v2/files", handler=take, streams=True),
            Route(method="OPTIONS", path="/v2/files", handler=options),
        ]

    async def read(self, fid: str) -> QuartResponse:
        """The bytes."""
        asked = query("expires", "sign", "tenant")
        fid_of(fid)
        if "sign" in asked or "expires" in asked:
            at = self._now().timestamp()
            self._signer.check(fid, asked.get("expires", ""), asked.get("sign", ""), now=at)
            file = await self._uploads.find(fid, None)
        else:
            caller = await self._callers.principal(headers(), "admin")
            file = await self._uploads.find(fid, tenant_for(caller, tenant_of(asked)))
        first = await self._uploads.read(file, 0)
        response = QuartResponse(self._pieces(file, first))
        response.timeout = None  # the connection's time-out for each piece holds
        response.headers.update(served_headers(file.name, file.media_type))
        response.headers["Content-Length"] = str(file.size)
        response.headers["Cache-Control"] = "private, max-age=3600, immutable"
        return response

    async def delete(self, fid: str) -> QuartResponse:
        """Let it be gone."""
        caller = await self._callers.principal(headers(), "admin")
        asked = query("tenant")
        await self._uploads.delete(caller, fid_of(fid), tenant_of(asked))
        return no_content()

    async def _pieces(self, file: File, piece: bytes) -> AsyncIterator[bytes]:
        sent = 0
        while piece:
            yield piece
            sent += len(piece)
            piece = await self._uploads.read(file, sent) if sent < file.size else b""

    async def _take(self, origins: Origins, request: Request) -> Response:
        origins.check(request.headers)
        caller = await self._callers.principal(request.headers, "admin")
        wanted = _wanted(request)
        assert request.chunks is not None
        with trio.move_on_after(self._timeout):
            file = await self._uploads.take(caller, wanted, request.chunks)
            answer = self._answer(file, request)
            cors = origins.cors(request.headers)
            return Response(status=201, headers=[JSON, *cors], body=_ENCODER.encode(answer))
        raise HttpError(408, f"body: it took more than {self._timeout:g} s")

    def _answer(self, file: File, request: Request) -> FileAnswer:
        expires = int(file.expires.timestamp())
        base = self._url or _asked_at(request)
        url = f"{base}/v2/files/{file.fid}?{self._signer.query(file.fid, expires)}"
        return FileAnswer(
            fid=file.fid,
            file_name=file.name,
            file_url=url.partition("://")[2],
            size=file.size,
            url=url,
            sha256=file.digest,
            expires_at=float(expires),
        )


def _wanted(request: Request) -> NewFile:
    asked = request.query
    for name, value in asked.items():
        if name not in ("name", "tenant"):
            raise BadInput(name, value, "one of name, tenant")
    length = request.headers.get("content-length", "")
    return NewFile(
        tenant_id=tenant_of(asked),
        name=name_of(asked.get("name", "")),
        media_type=media_type_of(request.headers.get("content-type", "")),
        length=int(length) if length.isdecimal() else None,
    )


def _asked_at(request: Request) -> str:
    scheme = "https" if request.secure else "http"
    return f"{scheme}://{request.headers.get('host', 'localhost')}"
