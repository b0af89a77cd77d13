"""What became of a message at a device, in the words of both versions.

    state      seed and ours    version 2.2
    OK         ok               ok         acknowledged
    ONLINE     online           wait       offered to a connection, and not acknowledged (yet)
    OFFLINE    offline          ready      kept
    NO         no               no         there is no such device
    FAILED     error            error      ours: others of the same call got it, and this one did not, or nobody knows

In version 2.2 a copy by Web Push or FCM has a word (appmodel/core/mpush_steps.py), which is told instead of `wait` and `ready`.

Source: spec/mpush.md 7.2 and 11.6.
"""

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """See the module."""

    OK = ("ok", "ok")
    ONLINE = ("online", "wait")
    OFFLINE = ("offline", "ready")
    NO = ("no", "no")
    FAILED = ("error", "error")

    @property
    def word(self) -> str:
        """As the seed says it."""
        return self.value[0]

    @property
    def word_2(self) -> str:
        """As version 2.2 says it."""
        return self.value[1]


class Fate(NamedTuple):
    """What became of a push at one device."""

    state: State
    mid: str = ""  # "" = nothing was pushed
    copy: str = ""  # how far one beside the socket has come; "" = nobody gets one, or nobody asked

    @property
    def word_2(self) -> str:
        """As version 2.2 says it."""
        is_open = self.state in {State.ONLINE, State.OFFLINE}
        return self.copy if self.copy and is_open else self.state.word_2
