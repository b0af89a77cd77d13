r"""What a client and a comet say, and when to come back: no socket, no clock, no chance in here.

    client   GET /sub?key=u1%40user&heartbeat=30&ver=2[&token=T][&mid=M]
    comet    +h\r\n                             welcome, and the answer to each heartbeat
             {"msg":<json>,"mid":<int>,"gid":0}   a message; with "live":true one that is not stored
             -p\r\n  -a\r\n  -n\r\n             refused: parameter, ticket, not my key; then it closes
    client   h                                  a heartbeat
             {"ack":[mid]}                      everything up to mid was handled

    a connection that ended with     goes next to            after
    4001 4002 4003 4004              the same server         a pause
    1006 once it had been welcomed   the same server         a pause
    4000 moved <url>                 that url                nothing, the first time
    4000 moved, -n                   where web says          nothing, the first time
    4400 to 4999, -p, -a             nowhere: Refused
    anything else                    where web says          a pause

After a loss the client asks for what is newer than the last stored message that it had. A live one is
no place to resume from: a stored one with a lower id may still come after it.

The pause before the n-th try is random between 0 and min(30 s, 0.5 s * 2^n): a node that falls has
its clients back spread over time. n starts anew once a connection has proved itself, by a message or
by the answer to a heartbeat; a mere welcome does not count, or a comet that turns clients away right
after it (4004) would see them return at once, for ever.

Source: docs/protocol.md.
"""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

NORMAL = 1000
LOST = 1006  # RFC 6455 section 7.1.5: it ended without a close frame, or never began
PROTOCOL_FAULT = 1002  # RFC 6455 section 7.4.1
MOVED, BAD_REQUEST, BAD_TICKET = 4000, 4400, 4401

MIN_HEARTBEAT = 30  # seconds; gopush comet refuses less
MAX_MID = 2**53 - 1  # what JSON numbers carry everywhere
PAUSE_STEP, PAUSE_LIMIT = 0.5, 30.0  # seconds

_BEAT = "+h\r\n"
_REFUSALS = {  # our own comet closes with the same code and says more
    "-p\r\n": (BAD_REQUEST, "bad parameter"),
    "-a\r\n": (BAD_TICKET, "ticket refused"),
    "-n\r\n": (MOVED, "moved"),
}
_RETURN_TO_SAME = {4001, 4002, 4003, 4004}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its JSON value, its id, and the whole JSON text as it came.

    `live`: it is not stored, so it comes now or never, and its `mid` is no place to resume from.
    """

    mid: int
    msg: Any
    raw: str
    live: bool = False


class Position:
    """How far a subscription has come: where it resumes, and which messages are new to it."""

    __slots__ = ("_live", "mid")

    def __init__(self, mid: int | None) -> None:
        self.mid = mid  # of the last stored message; None: no message yet, and none was named
        self._live = -1  # mid of the last live message

    def is_new(self, message: Message) -> bool:
        """Whether `message` has not been here yet. A stored one may be below the last live one."""
        passed = -1 if self.mid is None else self.mid
        return message.mid > (max(passed, self._live) if message.live else passed)

    def advance(self, message: Message) -> None:
        """`message`, a new one, was handed on."""
        if message.live:
            self._live = message.mid
        else:
            self.mid = message.mid


@dataclass(frozen=True, slots=True)
class Heard:
    """The comet lives: `+h`."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next: `stop`, or connect to `server` (None: ask web), `at_once` or after a pause."""

    stop: bool = False
    server: str | None = None
    at_once: bool = False


class ProtocolFault(Exception):
    """The comet sent what docs/protocol.md does not know. This connection cannot go on."""


def subscribe_target(server: str, key: str, heartbeat: int, token: str, mid: int | None) -> str:
    """Path and query of the subscription at `server`, a ws:// or wss:// URL."""
    query: dict[str, str | int] = {"key": key, "heartbeat": heartbeat, "ver": 2}
    if token:
        query["token"] = token
    if mid is not None:
        query["mid"] = mid
    path = urlsplit(server).path
    return f"{path if path.strip('/') else '/sub'}?{urlencode(query)}"


def read_text(text: str | bytes) -> Heard | Message | Ending:
    """What one WebSocket message of the comet means. An `Ending` announces the close that follows.

    Raises:
        ProtocolFault: and nothing else, whatever the message.
    """
    if isinstance(text, bytes):
        raise ProtocolFault(f"a binary message of {len(text)} bytes")
    if text == _BEAT:
        return Heard()
    if text in _REFUSALS:
        return Ending(*_REFUSALS[text])
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolFault(f"neither a reply nor a message: {text[:80]!r}") from None
    mid = fields.get("mid") if isinstance(fields, dict) else None
    if type(mid) is not int or not 0 <= mid <= MAX_MID or "msg" not in fields:
        raise ProtocolFault(f"a message without `msg` or a proper `mid`: {text[:80]!r}")
    return Message(mid, fields["msg"], text, live=fields.get("live") is True)


def write_ack(mid: int) -> str:
    """The acknowledgement of everything up to `mid`."""
    return f'{{"ack":[{mid}]}}'


def next_move(ending: Ending, server: str | None, *, welcomed: bool, tries: int) -> Move:
    """Where to go after `ending`. The table is above.

    Args:
        server: where the connection was, or should have been; None if web could not tell.
        welcomed: whether it got as far as `+h`.
        tries: connections in a row that proved nothing, this one included; 0 or 1 is a first time.
    """
    if BAD_REQUEST <= ending.code <= 4999:
        return Move(stop=True)
    if ending.code == MOVED:
        return Move(server=_moved_to(ending.reason, server), at_once=tries <= 1)
    if ending.code in _RETURN_TO_SAME or (ending.code == LOST and welcomed):
        return Move(server=server)
    return Move()


def pause(tries: int, chance: float) -> float:
    """Seconds before the n-th try; `chance` is random in [0, 1)."""
    return chance * min(PAUSE_LIMIT, PAUSE_STEP * 2.0 ** min(tries, 16))


def checked_server(url: str) -> str:
    """`url`, if it is the ws:// or wss:// URL of a comet without query.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"server: got {url!r}, expected ws://host:port or wss://host:port")
    _ = parts.port  # raises ValueError if it is none
    return url


def _moved_to(reason: str, server: str | None) -> str | None:
    told = re.fullmatch(r"moved (\S+)", reason)
    if told is None:
        return None
    try:
        url = checked_server(told[1])
    except ValueError:
        return None
    # The ticket goes along: never from TLS to a bare line because somebody said so.
    if server is not None and urlsplit(server).scheme == "wss" and urlsplit(url).scheme != "wss":
        return None
    return url
