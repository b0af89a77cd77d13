"""The logins of connected users live on: else who only listens would have to log in again after an hour.

A round goes over all subscribers and tells their logins, a few hundred a second; a login is told four times
within the time for which it lives unused.
"""

from collections.abc import Iterable, Iterator

import trio

from appmodel.io.user_tokens import UserTokens
from comet.core.channel import Channel
from comet.core.hub import Hub
from comet.io.following import Following

ROUNDS = 4  # within the life of an unused login
STEP = 500  # channels at a time
PAUSE = 1.0  # seconds between two steps: what was told is written meanwhile


async def keep_logins(hub: Hub, tokens: UserTokens) -> None:
    """Tell `tokens` who is connected, round after round, until cancelled."""
    while True:
        await trio.sleep(tokens.limits.ttl / ROUNDS)
        await tell_logins(hub, tokens)


async def tell_logins(hub: Hub, tokens: UserTokens) -> None:
    """One round. Cancelling is safe."""
    channels = hub.channels()
    for at in range(0, len(channels), STEP):
        tokens.note_connected(_logins_of(channels[at : at + STEP]))
        await trio.sleep(PAUSE)


def _logins_of(channels: Iterable[Channel]) -> Iterator[str]:
    """The credentials that let users in, by id: of a user's token, and of a ticket that it bought, its digest."""
    for channel in channels:
        if channel.key.user is not None:
            for subscriber in channel.subscribers:
                assert isinstance(subscriber, Following)
                if subscriber.ticket is not None:
                    yield subscriber.ticket.id
