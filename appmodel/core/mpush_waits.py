"""Who waits for a device to acknowledge, and who hears that it did: the owner of the device's key brings them together.

    web      wait(awaited, 3.0)      -> owner                    answers at the ack, or when the time is over
    holder   note(acked)             -> owner                    its device has acknowledged, at once
    web      note(acked)             -> owner -> holder          acknowledged by HTTP: a socket gets it no more

`MpushWaits` is implemented by each comet (comet/io/mpush_waits.py), and for all of them by `ClusterWaits`
(appmodel/io/mpush_waits.py), which finds the owners. What is noted here is kept for seconds only: what lasts is
in the AckBook (mpush_stores.py), and whoever notes an acknowledgement has written it there, or will.

Source: spec/mpush.md sections 7.2, 7.3 and 13: answers are told apart by (key, mid), never by mid alone.
"""

from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from appmodel.core.message import MessageId
from appmodel.core.names import Key

MAX_AWAITED = 10_000  # messages of one call
MAX_WAIT = 30.0  # seconds


class Awaited(msgspec.Struct, frozen=True, array_like=True):
    """One message for one device."""

    key: Key
    id: MessageId


Seconds = Annotated[float, Meta(ge=0, le=MAX_WAIT)]
Batch = Annotated[tuple[Awaited, ...], Meta(max_length=MAX_AWAITED)]


class MpushWaits(Protocol):
    """Acknowledgements of devices, as they come."""

    async def wait(self, awaited: Sequence[Awaited], seconds: float) -> tuple[bool, ...]:
        """Return when all are acknowledged, or after `seconds` (0 to MAX_WAIT); which are, in their order.

        One that came within the last seconds before the call counts too. Where nobody can be asked the answer is
        False, at once: not known to be acknowledged. Never raises a PushError. Cancelling is safe.
        """

    async def note(self, acked: Sequence[Awaited]) -> None:
        """These are acknowledged: whoever waits hears it, and sockets of those devices do not get them again.

        Best effort: an owner that is away loses it, and its callers hear `online`. Repeating it is harmless.
        Never raises a PushError.
        """
