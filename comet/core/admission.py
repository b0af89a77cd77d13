"""Who may subscribe: the request's checks in the original's order, and the limits.

    key empty or bad, heartbeat not a number or under the minimum, last id not a number    -p
    the ring gives the key to another comet                                                -n
    no credential that opens this key, or it has expired or was revoked                    -a
    connections of the key, or sessions of its user, at their limit
                                                                 nothing; version 2 is told why

Source: gopush-cluster comet/pubsub_websocket.go, pubsub_tcp.go; spec/gopush.md 1.1. Differences: `-c`
is never sent (a key needs no channel before it has a subscriber), a heartbeat above the maximum
counts as the maximum (L28: the original never hangs up on a client that asked for years), and a key over
255 bytes or with a character that cannot be printed is refused.
"""

from collections import Counter
from dataclasses import dataclass

from appmodel.core.clock import MAX_ID
from appmodel.core.names import Key, parse_key
from appmodel.errors import BadInput


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client asked for, checked."""

    key: Key
    heartbeat: float  # seconds
    ticket: str
    version: str
    last_id: int | None  # version 2: replay what is newer; None = start with what comes next


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatRule:
    """Bounds of the interval that a client may promise, in seconds."""

    minimum: float
    maximum: float


def parse_subscription(
    *, key: str, heartbeat: str, ticket: str, version: str, last_id: str, rule: HeartbeatRule
) -> Subscription:
    """A request's fields, in the original's order of checks.

    Raises:
        BadInput: naming the first field that is wrong.
    """
    checked_key = parse_key(key)
    seconds = _integer("heartbeat", heartbeat)
    if seconds < rule.minimum:
        raise BadInput("heartbeat", heartbeat, f"at least {rule.minimum:g} seconds")
    after: int | None = None
    if version == "2" and last_id:
        after = _integer("mid", last_id)
        if not 0 <= after <= MAX_ID:
            raise BadInput("mid", last_id, f"between 0 and {MAX_ID}")
    return Subscription(checked_key, min(seconds, rule.maximum), ticket, version, after)


def _integer(field: str, text: str) -> int:
    digits = text[1:] if text[:1] in {"+", "-"} else text  # Go's Atoi takes a sign
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise BadInput(field, text, "a whole number")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a comet takes on."""

    connections: int
    per_address: int
    per_key: int
    sessions_per_user: int
    handshakes_per_second: int


class Gate:
    """Counts connections and handshakes, and every refusal by its reason."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_address: dict[str, int] = {}
        self._second = 0
        self._handshakes = 0  # in this second
        self.connections = 0
        self.refused: Counter[str] = Counter()

    def enter(self, address: str, now: float) -> str | None:
        """Take a place for a connection; the limit's name if there is none. Then `leave` it once."""
        limits = self._limits
        if int(now) != self._second:
            self._second, self._handshakes = int(now), 0
        reason = None
        if self._handshakes >= limits.handshakes_per_second:
            reason = "handshakes_per_second"
        elif self.connections >= limits.connections:
            reason = "connections"
        elif self._by_address.get(address, 0) >= limits.per_address:
            reason = "per_address"
        if reason is not None:
            self.refused[reason] += 1
            return reason
        self._handshakes += 1
        self.connections += 1
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return None

    def leave(self, address: str) -> None:
        """Give the place back."""
        self.connections -= 1
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]

    def is_full(self, subscribers: int) -> bool:
        """Whether a key with so many subscribers takes no more."""
        return subscribers >= self._limits.per_key

    def has_too_many(self, sessions: int) -> bool:
        """Whether a user with so many sessions is over the limit: each gets a copy of every message."""
        return sessions > self._limits.sessions_per_user
