"""What all subscribers of a comet share: one object that each of them points to."""

from collections import Counter
from dataclasses import dataclass, field

from appmodel.core.clock import MessageClock
from comet.config import LiveConfig
from comet.core.admission import Gate
from comet.core.hub import Hub
from comet.core.wheel import Wheel
from comet.io.poller import Poller


@dataclass(slots=True)
class Counts:
    """Plain integers of the hot path, read by /stat and /metrics."""

    subscribed: int = 0
    unsubscribed: int = 0
    frames_taken: int = 0  # writes that a subscriber took, each with one or more messages
    deliveries: int = 0  # messages times subscribers that took them
    failures: int = 0  # messages times subscribers that did not
    heartbeats: int = 0
    acknowledgements: int = 0
    pushes: int = 0
    pushes_failed: int = 0
    replayed: int = 0  # messages sent from the store to resuming clients
    forwards: int = 0  # keys of messages that were sent to comets that hold them
    forwards_heard: int = 0  # keys of messages that came from their owners
    passed_on: int = 0  # pushes that another comet owned
    moved: int = 0  # clients that were sent to the owner of their key
    unheard: int = 0  # clients that did not take their last words in time
    holes: int = 0  # gaps that were seen and fetched
    ended: Counter[str] = field(default_factory=Counter)  # subscriptions by why they ended


@dataclass(slots=True, kw_only=True)
class Live:
    """The live path of one comet."""

    config: LiveConfig
    hub: Hub
    poller: Poller
    wheel: Wheel
    gate: Gate
    clock: MessageClock
    # trio time: before it no missed heartbeat counts, for we were frozen
    patient_until: float = 0.0
    counts: Counts = field(default_factory=Counts)
