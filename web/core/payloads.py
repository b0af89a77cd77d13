"""The JSON of /v2, as structs. The OpenAPI document is made from them (web/api/openapi.py)."""

from typing import Annotated

import msgspec

from appmodel.core.units import Duration
from appmodel.errors import BadInput
from web.core.orders import MAX_TTL, Outcome
from web.core.problems import Problem, problem

Ttl = Annotated[float | str, msgspec.Meta(description='Seconds, or a text such as "10m"')]


class PushRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One push. A name that is given twice is pushed to once."""

    to: Annotated[str | list[str], msgspec.Meta(description="A name, or up to 10,000 of them")]
    msg: Annotated[msgspec.Raw, msgspec.Meta(description="Any JSON; clients get this very text")]
    ttl: Annotated[
        Ttl, msgspec.Meta(description="How long it is kept for whoever is away; 0 = not at all")
    ] = 0.0
    idempotency_key: Annotated[
        str | None, msgspec.Meta(description="Repeating it within 24 h returns the first answer")
    ] = None


class NameResult(msgspec.Struct, omit_defaults=True):
    """A push at one name: done, or the reason why not."""

    name: str
    id: int | None = None  # of the message, as clients see it in `mid`
    stored: bool | None = None
    online: int | None = None  # connections that were offered it
    error: Problem | None = None


class PushAnswer(msgspec.Struct):
    """What became of a push, one result per name, in the order of `to`."""

    id: str  # of the push, 32 hexadecimal digits
    results: list[NameResult]


class StreamError(msgspec.Struct):
    """The answer to a line of /v2/push/stream that was refused."""

    error: Problem


class StoredMessage(msgspec.Struct):
    """A message that is kept."""

    id: int
    msg: msgspec.Raw
    expires_at: float  # Unix seconds


class MessagesAnswer(msgspec.Struct):
    """Messages of a key, ids ascending. `next` is the `after` of the next page, null at the end."""

    messages: list[StoredMessage]
    next: int | None


class DeletedAnswer(msgspec.Struct):
    """How many messages were removed."""

    deleted: int


class PresenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Keys to ask about; for lists that are too long for a query."""

    keys: list[str]


class KeyPresence(msgspec.Struct, omit_defaults=True):
    """Who is there for a key now; `error` if its owner could not be asked."""

    key: str
    online: int | None = None  # connections
    acknowledged: int | None = None  # the highest message id that a client acknowledged; 0 = none
    error: Problem | None = None


class PresenceAnswer(msgspec.Struct):
    """One result per key, in the order asked."""

    results: list[KeyPresence]


class TicketRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to let in, and for how long."""

    key: str
    ttl: Annotated[Ttl | None, msgspec.Meta(description="Default: auth.ticket_ttl")] = None


class TicketAnswer(msgspec.Struct):
    """A ticket: show it to the client, who sends it as `token`."""

    ticket: str
    id: str  # for revoking this one
    key: str
    expires_at: float  # Unix seconds


def parse_ttl(value: float | str, *, field: str = "ttl") -> float:
    """Seconds.

    Raises:
        BadInput: no duration, or above MAX_TTL.
    """
    try:
        seconds = float(Duration.parse(value))
    except ValueError as error:
        raise BadInput(field, value, str(error).removeprefix("expected ")) from None
    if not 0 <= seconds <= MAX_TTL:
        raise BadInput(field, value, f"0 to {MAX_TTL} seconds")
    return seconds


def push_answer(outcome: Outcome) -> PushAnswer:
    """One result per key of the push."""
    sent, failed = outcome.sent, outcome.failed
    results = [
        NameResult(str(key), *sent[key])
        if key in sent
        else NameResult(str(key), error=problem(failed[key]))
        for key in outcome.push.keys
    ]
    return PushAnswer(outcome.push.push_id.hex(), results)
