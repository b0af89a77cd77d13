"""What a user may mute."""

import enum
from typing import NamedTuple


class ShieldType(enum.IntEnum):
    """What kind of name is muted: column `shield_msg.type`. 1 is the only one that the original reads."""

    USER = 0
    APPLICATION = 1
    GROUP = 2  # ours


class Mute(NamedTuple):
    """Somebody or something that may be muted: a `ShieldType`, and whose id."""

    type: int
    id: str
