"""Which sessions of the addressed users get a copy: the `sessions` argument of a push.

    absent, ["all"]      all of them
    ["active"]           those in that state; ["inactive"] alike; a session in "init" is neither
    ["u1_iOS-d1", ...]   these, as far as they are sessions of addressed users
    []                   none

The inbox gets the message in every case. Source: spec/appmsgsrv.md 7.4. Differences: several ids work (the
original's statement held a full-width question mark), and an id is a session of its own user only.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from appmodel.core.message import ALL_SESSIONS, Sessions
from appmodel.core.sessions import SessionState
from appmodel.errors import BadInput

ALL = "all"
STATES = frozenset({SessionState.ACTIVE.value, SessionState.INACTIVE.value})
MAX_IDS = 1000


class KnownSession(NamedTuple):
    """A session as the database has it."""

    id: str
    state: str


class Selector(NamedTuple):
    """Either a state (or all), or ids."""

    state: str = ALL  # "" = by ids
    ids: frozenset[str] = frozenset()

    def chosen(self, sessions: Iterable[KnownSession]) -> list[KnownSession]:
        """Those of a user's `sessions` that get a copy."""
        if self.state == ALL:
            return list(sessions)
        if self.state:
            return [each for each in sessions if each.state == self.state]
        return [each for each in sessions if each.id in self.ids]

    def rule(self, sessions: Iterable[KnownSession]) -> Sessions | None:
        """What comets are told; `sessions`: of all addressed users."""
        if self.state == ALL:
            return ALL_SESSIONS
        only = frozenset(each.id for each in self.chosen(sessions)) if self.state else self.ids
        return Sessions(only) if only else None


EVERYWHERE = Selector()


def parse_sessions(values: Sequence[str] | None) -> Selector:
    """The selector that a caller wrote.

    Raises:
        BadInput: too many ids, or one that is no text.
    """
    if values is None:
        return EVERYWHERE
    if len(values) > MAX_IDS:
        raise BadInput("sessions", len(values), f"at most {MAX_IDS} ids")
    if len(values) == 1 and (values[0] == ALL or values[0] in STATES):
        return Selector(values[0])
    return Selector("", frozenset(values))


def active_ids(sessions: Iterable[KnownSession]) -> list[str]:
    """`activeSessions` of a copy."""
    return [each.id for each in sessions if each.state == SessionState.ACTIVE]
