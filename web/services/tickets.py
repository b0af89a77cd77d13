"""Tickets for clients: issued and revoked."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from appmodel.core.credentials import Credentials, Ticket
from appmodel.core.interfaces import Ledger
from appmodel.core.names import Key
from appmodel.core.revocations import Revocations, key_subject, token_subject
from appmodel.errors import BadInput
from web.core.principals import AppCaller, UserCaller
from web.services.deadlines import answered_within


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRules:
    """Times in seconds."""

    ttl: float  # of a ticket, unless asked otherwise
    max_ttl: float  # of a ticket
    user_ttl: (
        float  # of one that a user or an application asks for: as long as its token is remembered
    )
    kept: float  # how long a revocation is remembered: the longest life of any credential
    timeout: float  # of one call of the ledger


class Tickets:
    """The desk of this node: one per process."""

    def __init__(
        self,
        credentials: Credentials,
        revocations: Revocations,
        ledger: Callable[[], Ledger],
        rules: TicketRules,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._credentials = credentials
        self._revocations = revocations
        self._ledger = ledger
        self._rules = rules
        self._now = now

    def issue(self, key: Key, ttl: float | None = None) -> tuple[str, Ticket]:
        """A ticket for `key`, good for `ttl` seconds, and what it says.

        Raises:
            BadInput: the ttl is not above 0 and at most `max_ttl`.
        """
        rules, now = self._rules, self._now()
        seconds = rules.ttl if ttl is None else ttl
        if not 0 < seconds <= rules.max_ttl:
            raise BadInput("ttl", ttl, f"above 0 and at most {rules.max_ttl:g} seconds")
        text = self._credentials.issue_ticket(key, now=now, ttl=seconds)
        return text, self._credentials.verify_ticket(text, now=now)

    def issue_own(
        self, principal: UserCaller | AppCaller, key: Key, ttl: float | None = None
    ) -> tuple[str, Ticket]:
        """A ticket for a key of the caller's. That of a user has the id of his token, and ends with its login.

        Raises:
            BadInput: the ttl is not above 0 and at most `user_ttl`.
        """
        rules, now = self._rules, self._now()
        seconds = min(rules.ttl, rules.user_ttl) if ttl is None else ttl
        if not 0 < seconds <= rules.user_ttl:
            raise BadInput("ttl", ttl, f"above 0 and at most {rules.user_ttl:g} seconds")
        own = principal.token_id if isinstance(principal, UserCaller) else ""
        text = self._credentials.issue_ticket(key, now=now, ttl=seconds, id=own)
        return text, self._credentials.verify_ticket(text, now=now)

    async def revoke_key(self, key: Key) -> None:
        """Void all tickets of `key` issued until now; within a poll everywhere, here at once."""
        await self._revoke(key_subject(key))

    async def revoke_credential(self, credential_id: str) -> None:
        """Void the one ticket or access token with this id."""
        await self._revoke(token_subject(credential_id))

    async def _revoke(self, subject: str) -> None:
        rules, now = self._rules, self._now()
        with answered_within(rules.timeout):
            ledger = self._ledger()
            await ledger.revoke(subject, issued_before=now, kept_until=now + rules.kept)
            for revocation in await ledger.revocations(self._revocations.position):
                self._revocations.add(revocation)
