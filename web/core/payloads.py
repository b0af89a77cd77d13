"""The JSON of /v2, as structs. The OpenAPI document is made from them (web/api/openapi.py)."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.core.names import Key
from appmodel.core.units import Duration
from appmodel.errors import BadInput
from web.core.orders import MAX_TTL, Outcome
from web.core.problems import Problem, problem

MessageId = Annotated[
    int, msgspec.Meta(description="As clients see it in `mid`; ids of a key grow")
]
Instant = Annotated[float, msgspec.Meta(description="Unix seconds")]
Ttl = Annotated[float | str, msgspec.Meta(description='Seconds, or a text such as "10m"')]


class PushRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One push. A name that is given twice is pushed to once."""

    to: Annotated[
        str | list[str],
        msgspec.Meta(
            description="A name, or up to 10,000 of them: u1@user, g1@qun, d1@org, d1@org/** (with all "
            "departments below), t1@tenant, a1@app, or any key"
        ),
    ]
    msg: Annotated[msgspec.Raw, msgspec.Meta(description="Any JSON; clients get this very text")]
    ttl: Annotated[
        Ttl, msgspec.Meta(description="How long it is kept for whoever is away; 0 = not at all")
    ] = 0.0
    idempotency_key: Annotated[
        str | None, msgspec.Meta(description="Repeating it within 24 h returns the first answer")
    ] = None


class NameResult(msgspec.Struct):
    """A push at one name: what became of it, or the `error`; of many members, what became of most."""

    name: str
    id: MessageId | UnsetType = UNSET
    stored: bool | UnsetType = UNSET
    online: (
        Annotated[int, msgspec.Meta(description="Connections that were offered it")] | UnsetType
    ) = UNSET
    members: (
        Annotated[int, msgspec.Meta(description="Users that a group, department or tenant has")]
        | UnsetType
    ) = UNSET
    error: Problem | UnsetType = UNSET


class PushAnswer(msgspec.Struct):
    """What became of a push, one result per name, in the order of `to`."""

    id: Annotated[str, msgspec.Meta(description="Of the push: 32 hexadecimal digits")]
    results: list[NameResult]


class StreamError(msgspec.Struct):
    """The answer to a line of /v2/push/stream that was refused."""

    error: Problem


class StoredMessage(msgspec.Struct):
    """A message that is kept."""

    id: MessageId
    msg: Annotated[msgspec.Raw, msgspec.Meta(description="As it was pushed")]
    expires_at: Instant


class MessagesAnswer(msgspec.Struct):
    """Messages of a key, ids ascending."""

    messages: list[StoredMessage]
    next: Annotated[
        int | None, msgspec.Meta(description="The `after` of the next page; null at the end")
    ]


class DeletedAnswer(msgspec.Struct):
    """How many messages were removed."""

    deleted: int


class PresenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Keys to ask about; for lists that are too long for a query."""

    keys: list[str]


class KeyPresence(msgspec.Struct):
    """Who is there for a key now, or only the `error` of its owner."""

    key: str
    online: Annotated[int, msgspec.Meta(description="Connections")] | UnsetType = UNSET
    acknowledged: (
        Annotated[int, msgspec.Meta(description="The highest id that a client acknowledged, or 0")]
        | UnsetType
    ) = UNSET
    error: Problem | UnsetType = UNSET


class PresenceAnswer(msgspec.Struct):
    """One result per key, in the order asked."""

    results: list[KeyPresence]


class TicketRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to let in, and for how long."""

    key: str
    ttl: Annotated[Ttl | None, msgspec.Meta(description="Default: auth.ticket_ttl")] = None


class TicketAnswer(msgspec.Struct):
    """A ticket: give it to the client, who sends it as `token`."""

    ticket: str
    id: Annotated[str, msgspec.Meta(description="For revoking this one")]
    key: str
    expires_at: Instant


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


def push_answer(outcome: Outcome, names: Mapping[str, tuple[Key, ...]] | None = None) -> PushAnswer:
    """One result per name; without `names` each key of the push is one."""
    if names is None:
        results = [_of_key(outcome, key) for key in outcome.push.keys]
    else:
        results = [_of_name(outcome, name, keys) for name, keys in names.items()]
    return PushAnswer(outcome.push.push_id.hex(), results)


def _of_key(outcome: Outcome, key: Key) -> NameResult:
    if key in outcome.sent:
        return NameResult(str(key), *outcome.sent[key])
    return NameResult(str(key), error=problem(outcome.failed[key]))


def _of_name(outcome: Outcome, name: str, keys: tuple[Key, ...]) -> NameResult:
    """All members together; the error of one of them, if any failed."""
    if len(keys) == 1 and str(keys[0]) == name:
        return _of_key(outcome, keys[0])
    sent = [outcome.sent[key] for key in keys if key in outcome.sent]
    result = NameResult(name, members=len(keys))
    if sent or not keys:
        result.id = max((one.id for one in sent), default=0)
        result.stored = all(one.stored for one in sent)
        result.online = sum(one.online for one in sent)
    error = next((outcome.failed[key] for key in keys if key in outcome.failed), None)
    if error is not None:
        result.error = problem(error)
    return result
