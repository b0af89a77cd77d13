"""A gateway: one provider, with one tenant's credential. APNs, FCM and Web Push are behind this.

    DELIVERED      the provider has it; whether the phone shows it is between them
    GONE           the token is dead: forget it, unless it was registered again after `at`
    RETRY          not now: the provider is busy, away or slow; not before `after` seconds
    REFUSED        not this one: a retry would be refused again
    MISCONFIGURED  none of this credential: it is wrong, expired or for something else

Each implementation passes tests/contract/gateway.py against a local server that speaks as the provider does.
"""

import enum
from typing import Protocol

import msgspec

from web.core.notifications import Device, Notification, Provider

MAX_PAUSE = 86400  # seconds that a provider can ask for


class Kind(enum.StrEnum):
    """What became of a notification."""

    DELIVERED = "delivered"
    GONE = "gone"
    RETRY = "retry"
    REFUSED = "refused"
    MISCONFIGURED = "misconfigured"


class Receipt(msgspec.Struct, frozen=True):
    """A provider's answer about one device."""

    kind: Kind
    reason: str = ""  # the provider's own word, such as "BadDeviceToken"; no secret
    at: float | None = None  # of GONE: Unix seconds since when the provider knows
    after: float | None = None  # of RETRY: seconds that the provider asked for


DELIVERED = Receipt(Kind.DELIVERED)


class Gateway(Protocol):
    """Cancelling `send` is safe; the notification may have gone out then."""

    provider: Provider

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """Hand `notification` over for `device`. It ends within the configured time, and never raises
        because of what the provider does or does not do.

        Args:
            badge: unread messages of the user; None = unknown.
        """

    async def aclose(self) -> None:
        """Let go of its connections. Calls that are under way end with RETRY."""


def retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, at most a day; a date, or nonsense, is None.

    Providers send seconds; a date would be judged by two clocks.
    """
    if value is None or not value.isascii() or not value.isdecimal() or len(value) > 9:
        return None
    return float(min(int(value), MAX_PAUSE))
