"""What a client's credential opens: proved before anything else is done for it.

    credential                      opens                        asked
    a ticket of the cluster         the key that it names        nobody
    a user's token   u1_01ab...     u1@user, u1_...@user         the store of logins
    an application's token          a1@app                       the database

Tokens that are asked for together are one query, so thousands of clients that come back at once are a few. While
the store of logins is away or slow, a token's signature and its age have to do (tokens.max_age), and what the
ledger says is revoked. An application's token is only a random text: without the database it opens nothing.
"""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio
from sqlalchemy.exc import SQLAlchemyError

from appmodel.core.application_tokens import digest_of
from appmodel.core.credentials import Credentials, Ticket
from appmodel.core.names import Key
from appmodel.core.user_tokens import Owner, looks_like_token
from appmodel.errors import PushError, Unauthorized, Unavailable
from appmodel.io.gathering import Gathering

log = structlog.get_logger("comet")

SKEW = 2.0  # seconds by which the clock of who disables an application may be behind ours
MAX_APPLICATION = 255  # characters of a token


class UserProofs(Protocol):
    """`UserTokens`."""

    async def verify(self, text: str) -> Owner:
        """Whose token it is. Cancelling is safe, and at once. Raises Unauthorized or Unavailable."""

    def verify_signature(self, text: str, *, now: float) -> Owner:
        """The same by signature and age alone. Raises Unauthorized."""


@dataclass(frozen=True, slots=True)
class Application:
    """Whose an application's token is."""

    id: str
    is_enabled: bool


Applications = Callable[[Sequence[str]], Awaitable[Mapping[str, Application]]]
"""By the digests of their tokens."""


class Proving:
    """Weighs the credentials of all clients of a comet. `run` must be running."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        tokens: UserProofs | None = None,
        applications: Applications | None = None,
        patience: float = 1.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            tokens: of users; None = tickets only.
            applications: who they are; None = none may come.
            patience: seconds for the store of logins, or the database.
            now: Unix seconds.
        """
        self._credentials, self._tokens, self._now = credentials, tokens, now
        self._applications = None if applications is None else Gathering(applications)
        self._patience = patience
        self.unasked = 0  # tokens that were believed by their signature

    async def run(self) -> None:
        """Ask, until cancelled."""
        if self._applications is not None:
            await self._applications.run()

    async def ticket(self, text: str, key: Key) -> Ticket:
        """The right to subscribe to `key`. Its revocation is the caller's question. Cancelling is safe.

        Raises:
            Unauthorized: the credential does not open `key`.
            Unavailable: the database is away, and an application cannot be known without it.
        """
        if self._tokens is not None and looks_like_token(text):
            return await self._of_user(self._tokens, text, key)
        if self._applications is not None and _is_application(text, key):
            return await self._of_application(self._applications, text, key)
        ticket = self._credentials.verify_ticket(text, now=self._now())
        if ticket.key != key:
            raise Unauthorized("ticket: it is of another key")
        return ticket

    async def _of_user(self, tokens: UserProofs, text: str, key: Key) -> Ticket:
        if key.user is None or key.user != text.partition("_")[0]:
            raise Unauthorized("token: it is of another user")
        owner: Owner | None = None
        with trio.move_on_after(self._patience):
            try:
                owner = await tokens.verify(text)
            except Unauthorized:
                raise
            except (PushError, SQLAlchemyError) as error:
                log.debug("login not asked for", error=str(error))
        if owner is None:
            owner = tokens.verify_signature(text, now=self._now())
            self.unasked += 1
        return Ticket(key, owner.issued, owner.expires, owner.digest)

    async def _of_application(
        self, applications: Gathering[str, Application], text: str, key: Key
    ) -> Ticket:
        digest, asked_at = digest_of(text), self._now()
        found: Application | None = None
        with trio.move_on_after(self._patience) as patience:
            try:
                found = await applications.get(digest)
            except SQLAlchemyError:
                raise Unavailable("the database does not serve") from None
        if patience.cancelled_caught:
            raise Unavailable(f"the database had no answer within {self._patience:g} s")
        if found is None or not found.is_enabled or found.id != key.id:
            raise Unauthorized("token: not of this application")
        # it says nothing of its issue: what is revoked from now on is meant to end this connection
        return Ticket(key, asked_at - SKEW, math.inf, digest)


def _is_application(text: str, key: Key) -> bool:
    is_key = key.suffix == "app" and not key.realm
    return is_key and 0 < len(text) <= MAX_APPLICATION and text.count(".") != 2
