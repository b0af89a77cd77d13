r"""Version 2 of the client protocol: resume, acknowledge, and a reason for every end.

    WebSocket   {"ack":[1399647493834619]}          a text message
                close frame, code and reason        when the server hangs up
    TCP         {"ack":[1399647493834619]}\r\n      a line
                -x 4001 slow\r\n                    before the server hangs up

Codes below 4400 mean "come back"; the table for client authors is docs/protocol.md.
"""

from typing import Annotated, NamedTuple

import msgspec

from appmodel.errors import RemoteProtocolError

MAX_ACKNOWLEDGED = 1000  # ids in one message


class Goodbye(NamedTuple):
    """Why the server hangs up: a WebSocket close code, and a text for people."""

    code: int
    reason: str


GOING_AWAY = Goodbye(1001, "going away")
SLOW = Goodbye(4001, "slow")
HEARTBEAT_MISSED = Goodbye(4002, "heartbeat missed")
TRY_LATER = Goodbye(4003, "try later")
STORE_AWAY = Goodbye(4004, "store away")
MOVED = Goodbye(4000, "moved")
TICKET_REFUSED = Goodbye(4401, "ticket refused")
TICKET_REVOKED = Goodbye(4402, "ticket revoked")
KEY_FULL = Goodbye(4409, "too many connections of this key")


def bad_request(reason: str) -> Goodbye:
    """The request or a later message of the client was wrong."""
    return Goodbye(4400, reason)


class _Acknowledgement(msgspec.Struct, forbid_unknown_fields=True):
    ack: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, lt=2**53)]],
        msgspec.Meta(min_length=1, max_length=MAX_ACKNOWLEDGED),
    ]


_acknowledgement = msgspec.json.Decoder(_Acknowledgement)


def parse_acknowledgement(text: bytes | str) -> int:
    """The highest id that the client acknowledges.

    Raises:
        RemoteProtocolError: the text is not `{"ack":[id, ...]}` with 1 to 1,000 ids.
    """
    try:
        return max(_acknowledgement.decode(text).ack)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f'not {{"ack":[mid, ...]}}: {error}') from None
