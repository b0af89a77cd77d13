"""Bad neighbours: peers of calls that prove nothing, break the protocol or say nothing.

    reason       a peer that called us                         one that we called
    version      speaks another version                        the same
    secret       does not know the cluster's secret            the same
    garbage      sent something else than frames               the same
    hangup       left before it had proved itself              the same; so does one that refuses us
    silence      did not prove itself in time                  the same, or could not be reached in time
    address      one more of an address with too many
    full         one more than there are places for
    limit        asked for more than there is room for
    nonsense     asked what no node of ours would ask, and was refused that
    accept       refused by the system: no descriptors or memory left
    bug          our own; the log has it
    unreachable                                                cannot be dialled
    lost                                                       a good connection broke

Each is one number more; its log line comes once a minute per address and reason, because a stranger
must not fill our disk. Nothing else happens: no call is read before both sides have proved themselves.
"""

from collections import Counter
from dataclasses import dataclass, field

import structlog
import trio

LOG_PAUSE = 60.0  # seconds
MAX_WHY = 500  # characters: a stranger chose some of them
LOGGED = 1000  # addresses and reasons that are remembered

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RpcCounts:
    """What the connections of a process have seen: plain numbers, read by the metrics."""

    connections: int = 0  # of nodes that call us, open now
    refused: Counter[str] = field(default_factory=Counter)  # peers that called us, by reason
    failures: Counter[str] = field(default_factory=Counter)  # connections that we made, by reason
    hedges: int = 0  # calls that went to one more message node, for the others were silent


class Strangers:
    """Whom one server does not let in."""

    def __init__(self, counts: RpcCounts, *, at_once: int) -> None:
        """`at_once`: peers of one address that have not proved themselves yet."""
        self._counts = counts
        self._at_once = at_once
        self._greeting: Counter[str] = Counter()  # peers by address
        self._quiet_until: dict[tuple[str, str], float] = {}  # on trio's clock

    def come(self, host: str) -> bool:
        """One more wants to prove itself; False if its address has too many that do. Then `go`."""
        if self._greeting[host] >= self._at_once:
            return False
        self._greeting[host] += 1
        return True

    def go(self, host: str) -> None:
        """It has, or has not."""
        self._greeting[host] -= 1
        if not self._greeting[host]:
            del self._greeting[host]

    def count(self, reason: str) -> None:
        """One more, of which the log says enough."""
        self._counts.refused[reason] += 1

    def refuse(
        self, host: str, reason: str, why: str, *, event: str = "rpc connection refused"
    ) -> None:
        """Count a peer that was refused, or a call of it, and perhaps log it."""
        self.count(reason)
        now = trio.current_time()
        if now < self._quiet_until.get((host, reason), 0.0):
            return
        if len(self._quiet_until) >= LOGGED:
            self._quiet_until.clear()
        self._quiet_until[host, reason] = now + LOG_PAUSE
        log.warning(event, peer=host, reason=reason, why=why[:MAX_WHY])
