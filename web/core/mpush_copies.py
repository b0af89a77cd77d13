"""A message on its way to a receiver beside the socket: a web hook, Web Push, FCM.

Source: spec/mpush.md 11.8.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from appmodel.core.message import Stored
from appmodel.core.mpush import mid_of, read_body
from appmodel.core.mpush_shown import show_message, text_of

_write = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Copy:
    """One message, for whoever it is brought to."""

    id: int  # message id
    message: bytes  # the whole object as JSON, as appmodel/core/mpush_shown.py shows it
    expires_at: float  # Unix seconds
    title: str  # "" = none
    priority: int | None  # 1 to 5 as who pushed said it; None = did not

    @property
    def mid(self) -> str:
        """13 digits."""
        return mid_of(self.id)


def make_copy(name: str, stored: Stored) -> Copy:
    """Of what is stored for the device `name`."""
    body = read_body(stored.body)
    shown: dict[str, Any] = show_message(name, stored.id, body)
    return Copy(stored.id, _write(shown), stored.expires_at, text_of(body.title), body.priority)
