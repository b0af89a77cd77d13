"""How far a job of light-push has come: what is kept in its cursor, so that anybody can go on with it.

    ""                                          nothing is done yet
    ["inboxes","/demo#u1#android-d1",[]]        inboxes are filled, up to this client of the room
    ["apple","/demo#u7#ios-d2",["/demo#u3#ios-d1"]]
                                                Apple was told, up to this client; of u3 it has to be told again

First the inboxes of the whole room, then Apple: a provider that is away delays no Android client. Whom Apple
did not take now is owed: the room goes on without it, unless so many are owed that it is Apple who is away.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from appmodel.core.lightpush_records import Draft, Progress

MAX_OWED = 100  # clients; their ids fit into a cursor, whatever has to be escaped in them
BETWEEN = "  >>>>  "  # notes of a report, as in the original


class Stage(enum.StrEnum):
    """What is being done for a room."""

    INBOXES = "inboxes"
    APPLE = "apple"


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How far a job has come."""

    stage: Stage = Stage.INBOXES
    after: str = ""  # the last client of the room that was looked after in this stage
    owed: tuple[str, ...] = ()  # of Apple: clients to be tried again

    @property
    def cursor(self) -> str:
        """As it is kept."""
        return msgspec.json.encode(self).decode()


def standing_of(cursor: str) -> Standing:
    """What a cursor says."""
    return msgspec.json.decode(cursor, type=Standing) if cursor else Standing()


class Step(NamedTuple):
    """What was done of a job."""

    standing: Standing | None  # how far it has come; None: it is done
    tried: int = 0  # clients of whom Apple was told for the first time
    delivered: int = 0
    notes: Sequence[str] = ()  # for the report
    pause: float | None = None  # seconds before it goes on; None: there is more to do now

    @property
    def is_worth_noting(self) -> bool:
        """Whether a report changes by it."""
        return bool(self.tried or self.delivered or self.notes)

    @property
    def progress(self) -> Progress:
        """As the book wants it."""
        cursor = "" if self.standing is None else self.standing.cursor
        return Progress(cursor, self.tried, self.delivered, BETWEEN.join(self.notes))


def spared(draft: Draft) -> frozenset[str]:
    """Clients that are not to get a push, whoever else has missed it: `except` and who sent it (W15)."""
    return frozenset(client for client in (draft.without, draft.sender) if client)


def pause_after(attempts: int, *, first: float, most: float) -> float:
    """Seconds before the next attempt. `attempts`: those that were made, at least 1."""
    return min(most, first * 2.0 ** min(attempts - 1, 30))
