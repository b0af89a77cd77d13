"""How a push is written for clients of Socket.IO: as an event, once for all clients of one framing.

    RoomDialect    a namespace that is a realm       42/demo,["push",{"id":17,...}]      the body is the event
    KeyDialect     one key of the default realm      42/appmsg,["push",{"key":"u1@user","mid":1,"msg":...}]

Source: spec/liutian-push.md section 3.1 (frames); ours: the event of KeyDialect, and that a body which is no
event becomes the argument of `push`.
"""

import itertools
from functools import lru_cache

import msgspec

from appmodel.core.names import Key
from comet.protocol.engineio import Framing, framed

KNOWN = 50_000  # dialects that are remembered; of a forgotten one messages are written once more

_numbers = itertools.count(100)  # `encoding`: above those of the native dialects
_json = msgspec.json.Encoder().encode


class RoomDialect:
    """Pushes to keys of a realm, for clients of its namespace."""

    __slots__ = ("_framing", "_head", "encoding")

    def __init__(self, namespace: str, framing: Framing) -> None:
        self.encoding = next(_numbers)
        self._framing, self._head = framing, _head_of(namespace)

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """The body if it is an event, else as the argument of `push`."""
        text = body.decode()
        event = text if _is_event(text) else f'["push",{text}]'
        return framed(self._framing, self._head + event)


class KeyDialect:
    """Pushes to one key of the default realm, for clients that have joined it among others."""

    __slots__ = ("_framing", "_head", "encoding")

    def __init__(self, namespace: str, key: Key, framing: Framing) -> None:
        self.encoding = next(_numbers)
        self._framing = framing
        self._head = f'{_head_of(namespace)}["push",{{"key":{_json(str(key)).decode()},"mid":'

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        """With key and id; `live` marks what was not stored, from which nobody resumes."""
        live = "" if stored else ',"live":true'
        return framed(self._framing, f'{self._head}{message_id}{live},"msg":{body.decode()}}}]')


def dialect_of(namespace: str, key: Key, framing: Framing) -> RoomDialect | KeyDialect:
    """The one that all who have joined `key` in this framing share."""
    if key.is_of_namespace:  # nothing is kept for each of its rooms
        return _room_dialect(namespace, framing)
    return _key_dialect(namespace, key, framing)


_room_dialect = lru_cache(maxsize=KNOWN)(RoomDialect)
_key_dialect = lru_cache(maxsize=KNOWN)(KeyDialect)


def _head_of(namespace: str) -> str:
    return "2" if namespace == "/" else f"2{namespace},"


def _is_event(text: str) -> bool:
    """An array that begins with a text."""
    text = text.lstrip()
    return text[:1] == "[" and text[1:].lstrip()[:1] == '"'
