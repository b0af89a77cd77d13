"""Mpush, version 2.2: what a comet says to its clients, one JSON object in each text frame.

    AUTH                        -> AUTH 200 with a signed `auth`, 403, or 401 for anything before it
    MESSAGE                     -> MESSAGE_REPLY {mid, status}
    PING                        -> PONG
    whatever is wrong           -> INFO
    a message for the device    -> MESSAGE {sendType, target, from, message, mid}

What clients say is read by appmodel/core/mpush_commands.py, as web hears it, too; a message is shown by mpush_shown.py
beside it, as web hooks and phones get it, too.

Source: spec/mpush.md 11.3.
"""

import itertools
from collections.abc import Mapping, Sequence

import msgspec

from appmodel.core.mpush import read_body
from appmodel.core.mpush_keys import PublicKeys
from appmodel.core.mpush_shown import show_message
from comet.protocol.mpush import Sent, decode
from comet.protocol.websocket import TEXT, frame

_SEED_ACK = "SENDMSG_CB"

_json = msgspec.json.Encoder().encode
_numbers = itertools.count(-2, -1)  # `encoding`: below that of the seed version


def is_command(text: str) -> bool:
    """Whether a first text is a command of version 2.2, and not a token of the seed version."""
    if text.lstrip()[:1] != "{":
        return False
    found = decode(text)
    return isinstance(found, dict) and "cmd" in found and found["cmd"] != _SEED_ACK


UNAUTHENTICATED = frame(TEXT, b'{"cmd":"AUTH","data":{"code":401,"msg":"Need Auth"}}')
PONG = frame(TEXT, b'{"cmd":"PONG","data":""}')


def auth_frame(auth: str, keys: PublicKeys) -> bytes:
    """Logged in. `auth`: the signed text by which HTTP calls of this device are known."""
    data = {"code": 200, "auth": auth, "msg": "Successful authentication", **keys.told()}
    return _packet("AUTH", data)


def info_frame(text: str) -> bytes:
    """An error, or a word that something was done."""
    return _packet("INFO", text)


def reply_frame(mid: str, status: Mapping[str, str]) -> bytes:
    """What became of a push, by device."""
    return _packet("MESSAGE_REPLY", {"mid": mid, "status": status})


class V2Dialect:
    """Messages for one device that speaks version 2.2."""

    __slots__ = ("_name", "encoding")

    def __init__(self, name: str) -> None:
        """`name`: the target of what does not name one."""
        self.encoding = next(_numbers)
        self._name = name

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """One message."""
        return _packet("MESSAGE", show_message(self._name, message_id, read_body(body)))

    def frame(self, messages: Sequence[Sent]) -> bytes:
        """Each in a frame of its own."""
        return b"".join([self.encode(one.id, one.body, stored=one.stored) for one in messages])


def _packet(cmd: str, data: object) -> bytes:
    return frame(TEXT, _json({"cmd": cmd, "data": data}))
