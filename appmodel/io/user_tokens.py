"""User tokens at work: issued at a login, checked with every call, revoked at a logout.

    signature     of the text itself: garbage costs no query                       core/user_tokens.py
    revocations   what the ledger says is void, heard of within a second everywhere
    store         whether the login is known, until when, and whose it is; remembered for `staleness`
                  seconds, and all who ask at once are one query

A login is sliding: each use lets it live `ttl` seconds more. That is written behind the call, at most once in
`ttl` / 20 per token, many together; so a login lives up to ttl / 20 longer than its last use says. No use
makes it older than `max_life`.

Web and comet share this: one object per process, `run` in a nursery of its owner.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
import trio

from appmodel.core.credentials import MAX_SKEW
from appmodel.core.interfaces import Ledger
from appmodel.core.people import Account, Login
from appmodel.core.revocations import Revocations, token_subject, user_subject
from appmodel.core.user_tokens import Owner, TokenSigner
from appmodel.errors import Forbidden, OutcomeUnknown, PushError, Unauthorized
from appmodel.io.gathering import Gathering
from appmodel.io.token_stores import Found, TokenStore

EXTEND_MANY = 500  # logins in one statement
MAX_UNWRITTEN = (
    200_000  # uses that wait for the store: more clients than a comet holds; others are lost
)
SWEEP_EVERY = 600.0  # seconds
SWEEP_MANY = 1000  # logins of one step

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLimits:
    """Times in seconds; see `TokensConfig` in appmodel/runtime/config.py."""

    ttl: float
    max_life: float
    max_age: float  # of a token that its signature alone may prove
    staleness: float  # of what is remembered of a login
    per_user: int  # logins; the oldest go
    cached: int  # logins remembered
    kept: float  # how long it is remembered that all of a user's credentials are void
    timeout: float  # of one call of the ledger
    flush: float = 1.0  # uses are written this long after them

    @property
    def touch(self) -> float:
        """How rarely the use of a token is written."""
        return self.ttl / 20


@dataclass(slots=True)
class _Known:
    login: Login
    account: Account
    read_at: float  # monotonic
    expires: float  # Unix seconds; as far as this process has moved it


class UserTokens:
    """The logins of all users, as one process sees them. `now` gives Unix seconds."""

    def __init__(
        self,
        store: TokenStore,
        signer: TokenSigner,
        revocations: Revocations,
        ledger: Callable[[], Ledger],
        limits: TokenLimits,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits
        self._store = store
        self._signer = signer
        self._revocations = revocations
        self._ledger = ledger
        self._now = now
        self._finding: Gathering[str, tuple[Login, Account | None]] = Gathering(self._find)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._used: dict[str, float] = {}  # digest -> last use, to be written
        self._use = trio.Event()

    @property
    def unwritten(self) -> int:
        """Logins whose use is to be written yet."""
        return len(self._used)

    def moment(self) -> float:
        """Now, in Unix seconds, for `issue`."""
        return self._now()

    async def issue(
        self, uid: str, *, device_id: str = "", device_type: str = "", since: float | None = None
    ) -> str:
        """The token of a new login.

        Args:
            since: the `moment` before the user's password was read. If his logins were ended in
                between, with another password perhaps, so is this one.

        Raises:
            Unauthorized: they were.
            Unavailable: the store is away; there is no login.
        """
        now, limits = self._now() if since is None else since, self.limits
        text = self._signer.issue(uid, now=now)
        owner = self.verify_signature(text, now=now)
        expires = now + limits.ttl + limits.touch
        login = Login(owner.digest, uid, device_id, device_type, owner.issued, expires)
        await self._store.keep(login, most=limits.per_user)
        return text

    async def verify(self, text: str) -> Owner:
        """Whose token it is; its login lives on. Cancelling is safe, and at once.

        Raises:
            Unauthorized: garbage, expired, revoked; or its owner is gone or disabled.
            Unavailable: the store is away.
        """
        return (await self.prove(text))[0]

    async def prove(self, text: str) -> tuple[Owner, Account]:
        """As `verify`, and who that is."""
        now = self._now()
        owner = self._signer.verify(text, now=now, max_age=self.limits.max_life)
        self._check_revoked(owner)
        known = self._known.get(owner.digest)
        if known is None or trio.current_time() - known.read_at > self.limits.staleness:
            known = await self._look_up(owner)
            self._check_revoked(owner)  # it may have been while we asked
        if known is None or known.expires <= now or known.login.uid != owner.uid:
            raise Unauthorized("token: expired or revoked")
        if not known.account.is_enabled:
            raise Unauthorized("token: its owner is disabled")
        self._note_use(known, now)
        expires = min(known.expires, owner.expires)
        return Owner(owner.uid, owner.digest, owner.issued, expires), known.account

    def note_connected(self, digests: Iterable[str]) -> None:
        """These logins hold a connection, which is a use as any other. What is no login is no matter."""
        now = self._now()
        for digest in digests:
            if len(self._used) < MAX_UNWRITTEN:
                self._used[digest] = now
                self._use.set()

    def verify_signature(self, text: str, *, now: float) -> Owner:
        """Whose token it is, by its signature and its age alone: for while the store is away.

        Raises:
            Unauthorized: garbage, older than `max_age`, or known to be revoked.
        """
        owner = self._signer.verify(text, now=now, max_age=self.limits.max_age)
        self._check_revoked(owner)
        return owner

    def audience_token(self, uid: str, app_id: str) -> str:
        """A token that proves `uid` to one application for five minutes; nothing is stored."""
        return self._signer.issue_for(uid, app_id, now=self._now())

    def verify_audience(self, text: str, app_id: str) -> Owner:
        """Who wrote to the application `app_id`.

        Raises:
            Unauthorized: not a token for it, expired, or the user's logins were revoked since.
        """
        owner = self._signer.verify_for(text, app_id, now=self._now())
        self._check_revoked(owner)
        return owner

    async def revoke(self, text: str, uid: str) -> None:
        """End a login of `uid`. One that has ended already is none the worse for it.

        Raises:
            Forbidden: it is no token of theirs.
            Unavailable, OutcomeUnknown: try again.
        """
        try:
            owner = self._signer.verify(text, now=self._now(), max_age=self.limits.max_life)
        except Unauthorized:
            raise Forbidden("token: not one of yours") from None
        if owner.uid != uid:
            raise Forbidden("token: not one of yours")
        await self.revoke_login(owner.digest, uid)

    async def revoke_login(self, digest: str, uid: str) -> None:
        """End the login of `uid` with this digest: here at once, everywhere within a second."""
        await self._store.forget(digest, uid)
        self._known.pop(digest, None)
        await self._void(token_subject(digest), self.limits.max_age, ahead=MAX_SKEW)

    async def revoke_all(self, uid: str) -> None:
        """End all logins of a user, and void what was issued for his keys."""
        await self._store.forget_all(uid)
        await self._void(user_subject(uid), self.limits.kept)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask and write until cancelled. The store is not touched before the first token."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._finding.run)
            nursery.start_soon(self._extend)
            task_status.started()

    async def sweep(self) -> None:
        """Free what has expired, until cancelled. Any number of nodes may do so at once."""
        while True:
            await trio.sleep(SWEEP_EVERY)
            try:
                swept = SWEEP_MANY
                while swept == SWEEP_MANY:
                    swept = await self._store.sweep(self._now(), limit=SWEEP_MANY)
            except PushError as error:
                log.warning("logins not swept", error=str(error))

    async def _find(self, digests: Sequence[str]) -> Found:
        return await self._store.find(digests)

    async def _look_up(self, owner: Owner) -> _Known | None:
        asked_at = trio.current_time()
        login, account = await self._finding.get(owner.digest) or (None, None)
        before = self._known.pop(owner.digest, None)
        if login is None or account is None:
            return None
        expires = max(login.expires, before.expires if before else 0.0)  # moved, not yet written
        known = self._known[owner.digest] = _Known(login, account, asked_at, expires)
        if len(self._known) > self.limits.cached:
            self._known.popitem(last=False)
        return known

    def _check_revoked(self, owner: Owner) -> None:
        for subject in (token_subject(owner.digest), user_subject(owner.uid)):
            if self._revocations.is_revoked(subject, owner.issued):
                raise Unauthorized("token: revoked")

    def _note_use(self, known: _Known, now: float) -> None:
        if known.expires >= now + self.limits.ttl:
            return
        if len(self._used) < MAX_UNWRITTEN:
            self._used[known.login.digest] = now
            self._use.set()
        known.expires = now + self.limits.ttl + self.limits.touch

    async def _extend(self) -> None:
        """Write uses, until cancelled. What could not be written is tried again."""
        while True:
            await self._use.wait()
            await trio.sleep(self.limits.flush)
            self._use = trio.Event()
            try:
                while self._used:
                    await self._write_uses(list(self._used)[:EXTEND_MANY])
            except PushError as error:
                log.warning("logins not extended", logins=len(self._used), error=str(error))
                self._use.set()

    async def _write_uses(self, digests: Sequence[str]) -> None:
        used = {digest: self._used[digest] for digest in digests}
        until = max(used.values()) + self.limits.ttl + self.limits.touch
        await self._store.extend(digests, until)
        for digest, at in used.items():
            if self._used.get(digest) == at:
                del self._used[digest]

    async def _void(self, subject: str, kept: float, *, ahead: float = 0.0) -> None:
        """Tell the ledger. `ahead`: also what was issued by a clock that is so many seconds before ours."""
        now, ledger = self._now(), self._ledger()
        with trio.move_on_after(self.limits.timeout) as patience:
            await ledger.revoke(subject, issued_before=now + ahead, kept_until=now + kept)
            for revocation in await ledger.revocations(self._revocations.position):
                self._revocations.add(revocation)
        if patience.cancelled_caught:
            raise OutcomeUnknown(f"no answer within {self.limits.timeout:g} s")
