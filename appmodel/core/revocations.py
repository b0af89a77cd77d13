"""Which credentials are void although their signature and their time are good.

    subject                 voids
    key:<stored key>        every ticket of the key issued before the instant
    token:<id>              the one ticket or access token with this id; of a user token its digest, and
                            with it the tickets that were issued for it
    user:<uid>              every token of a user, and every ticket of his inbox and his sessions, issued
                            before the instant

Every node polls `Ledger.revocations` once a second from its last `position` and keeps what it hears
here until the last credential that it could concern has expired by itself.
"""

from appmodel.core.credentials import Caller, Ticket
from appmodel.core.message import Revocation
from appmodel.core.names import Key


def key_subject(key: Key) -> str:
    """The subject that stands for all tickets of a key."""
    return f"key:{key.stored}"


def token_subject(credential_id: str) -> str:
    """The subject that stands for one credential."""
    return f"token:{credential_id}"


def user_subject(uid: str) -> str:
    """The subject that stands for all that lets a user in."""
    return f"user:{uid}"


class Revocations:
    """What this node knows to be void. Empty at start: poll once before trusting a credential."""

    def __init__(self) -> None:
        self._known: dict[str, Revocation] = {}
        self.position = 0  # of the newest one heard; ask the ledger for what is above it

    def __len__(self) -> int:
        return len(self._known)

    def add(self, revocation: Revocation) -> None:
        """Learn of a revocation. Any order and any repetition end in the same knowledge."""
        self.position = max(self.position, revocation.position)
        known = self._known.get(revocation.subject)
        if known is not None:
            revocation = Revocation(
                revocation.position,
                revocation.subject,
                max(known.issued_before, revocation.issued_before),
                max(known.kept_until, revocation.kept_until),
            )
        self._known[revocation.subject] = revocation

    def forget(self, now: float) -> None:
        """Drop those that can concern no credential any more. Costs a look at each: call it rarely."""
        self._known = {s: r for s, r in self._known.items() if r.kept_until > now}

    def is_revoked(self, subject: str, issued_at: float) -> bool:
        """Whether a credential of `subject` that was issued then (Unix seconds) is void."""
        known = self._known.get(subject)
        return known is not None and issued_at < known.issued_before

    def voids(self, credential: Ticket | Caller) -> bool:
        """Whether this ticket or access token is void: by its id, its key, or the key's user."""
        if not self._known:
            return False
        issued_at = credential.issued_at
        if self.is_revoked(token_subject(credential.id), issued_at):
            return True
        if not isinstance(credential, Ticket):
            return False
        key = credential.key
        if self.is_revoked(key_subject(key), issued_at):
            return True
        return key.user is not None and self.is_revoked(user_subject(key.user), issued_at)
