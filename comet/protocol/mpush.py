"""Mpush, the seed version: bare texts in, JSON commands both ways, one JSON object in each text frame.

    client  <token>                                                  as it is, not trimmed
    server  {"cmd":"AUTH","data":{"code":200,"msg":"Successful authentication"}}
            {"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}
    client  <device>
    server  {"cmd":"LOGIN","data":{"name":"<device>"}}
            {"cmd":"MESSAGE","data":{"msgList":[{"title":"t","content":"c","mid":"1557901952810"}]}}
    client  {"cmd":"SENDMSG_CB","data":{"midList":["1557901952810"]}}

A message without title has no such member. Behind `mid`, which the original ends with, come `priority`, `tags` and
`click` where they were given. Mids that are numbers count as well (the original answers the pusher and keeps the
message). There are no error frames: what is not understood is ignored.

Source: spec/mpush.md sections 3, 4 and 8; byte for byte.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from appmodel.core.mpush import Body, id_of, mid_of, read_body
from comet.protocol.websocket import TEXT, frame


class Sent(NamedTuple):
    """A message as it goes out."""

    id: int
    body: bytes  # as it was pushed: JSON text
    stored: bool = True  # false: it cannot be sent again


class _Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    title: str | list[str] | None = None
    content: str
    mid: str
    priority: int | None = None
    tags: Sequence[str] = ()
    click: str | None = None


class _List(msgspec.Struct):
    msgList: list[_Item]  # noqa: N815  as the wire has it


class _Message(msgspec.Struct):
    cmd: str
    data: _List


_json = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode

AUTHENTICATED = frame(TEXT, b'{"cmd":"AUTH","data":{"code":200,"msg":"Successful authentication"}}')
TOKEN_INVALID = frame(TEXT, b'{"cmd":"AUTH","data":{"code":403,"msg":"Token invalid"}}')


def login_frame(name: str) -> bytes:
    """The device is logged in."""
    return frame(TEXT, b'{"cmd":"LOGIN","data":{"name":%b}}' % _json(name))


class SeedDialect:
    """Messages for devices that speak the seed version."""

    encoding = -1  # see `Encoder`: below those of the native dialects

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """One message alone."""
        return self.frame([Sent(message_id, body, stored)])

    def frame(self, messages: Sequence[Sent]) -> bytes:
        """All of them in one frame, in their order."""
        items = [_item(message.id, read_body(message.body)) for message in messages]
        return frame(TEXT, _json(_Message("MESSAGE", _List(items))))


def _item(message_id: int, body: Body) -> _Item:
    return _Item(
        title=body.title if isinstance(body.title, str | None) else list(body.title),
        content=body.content,
        mid=mid_of(message_id),
        priority=body.priority,
        tags=body.tags,
        click=body.click,
    )


def acknowledged(text: str | bytes) -> list[int]:
    """The ids that a client acknowledges; none if it says something else. Whatever the text, nothing is raised."""
    match decode(text):
        case {"cmd": "SENDMSG_CB", "data": {"midList": list(mids)}}:
            return [found for mid in mids if (found := id_of(mid)) is not None]
    return []


def decode(text: str | bytes) -> object:
    """JSON, or None."""
    try:
        return _read(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
