"""Logins: a name and a password for a token; and whose a token is.

    log_in      throttle → candidates (one query) → argon2 → admit → one write → a token
    user        the owner of a token, for every other call

Nobody learns from an answer, nor from its time, whether the name, the password or the account was wrong. Wrong
tries are counted per name and per address; right ones are not.

Source: appmsgsrv app/org.go; spec/appmsgsrv.md 4.4 (14). Differences: the password is compared (W1); a login name
that several users have, in different tenants perhaps, means the one whose password it is; the original takes
the first row.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from appmodel.core.people import Account, Person
from appmodel.core.throttle import Throttle
from appmodel.core.user_tokens import can_log_in
from appmodel.errors import Forbidden, LimitReached, LoginRefused, PushError, Unauthorized
from appmodel.io.database import Database
from appmodel.io.user_tokens import UserTokens
from appmodel.orm.device_queries import keep_apns_token
from appmodel.orm.login_queries import (
    Candidate,
    find_candidate,
    find_candidates,
    note_client,
    replace_password,
)
from web.config import LoginConfig
from web.core.fields import text_of
from web.core.principals import AppCaller, UserCaller
from web.services.passwords import Check, Passwords

MAX_LOGIN = 64  # characters: the wider of the two columns
MAX_DEVICE, MAX_TYPE = 255, 45  # characters: columns

Admit = Callable[[Account], Awaitable[None]]
"""Asked when the password was right, before anything is written; it raises what refuses the login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody wants to log in."""

    name: str  # login name or e-mail address
    password: str
    origin: str  # see web/core/addresses.py
    tenant_id: str | None = None  # only this one's users; None = any tenant's
    device_id: str = ""
    device_type: str = ""
    apns_token: str = ""  # of the device, checked already; empty: none
    is_uid: bool = False  # `name` is the user's id: browsers of the original log in so


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A login that worked."""

    token: str
    person: Person


class Accounts:
    """The desk of this node. `now` counts seconds and does not go back."""

    def __init__(
        self,
        database: Database,
        tokens: UserTokens,
        passwords: Passwords,
        config: LoginConfig,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._tokens, self._passwords = database, tokens, passwords
        self._now = now
        window, remembered = config.window, config.remembered
        self._names = Throttle(config.account_tries, window, capacity=remembered)
        self._origins = Throttle(config.address_tries, window, capacity=remembered)
        self.outcomes: Counter[str] = Counter()  # of logins: "in", "refused", "slowed", "failed"

    @property
    def ttl(self) -> float:
        """Seconds that a token is good after its last use."""
        return float(self._tokens.limits.ttl)

    async def user(self, token: str) -> UserCaller:
        """See Authenticating.user in web/core/principals.py."""
        owner, account = await self._tokens.prove(token)
        return UserCaller(
            uid=account.uid,
            tenant_id=account.tenant_id,
            customer_id=account.customer_id,
            login=account.login,
            nickname=account.nickname,
            role=account.role,
            token_id=owner.digest,
        )

    async def log_in(self, attempt: Attempt, admit: Admit | None = None) -> LoggedIn:
        """A new login, and who that is.

        Raises:
            LoginRefused: no such name, or not its password, or the account is disabled.
            LimitReached: too many wrong tries, or too many at once.
            BadInput: a field is too long.
            Unavailable: the database is away.
            PushError: of `admit`.
        """
        _check_fields(attempt)
        try:
            logged_in = await self._log_in(attempt, admit)
        except PushError as error:
            self.outcomes[_outcome(error)] += 1
            raise
        self.outcomes["in"] += 1
        return logged_in

    async def log_out(self, caller: UserCaller, token: str) -> None:
        """End one of the caller's logins.

        Raises:
            Forbidden: the token is none of his.
            Unavailable, OutcomeUnknown: try again.
        """
        await self._tokens.revoke(token, caller.uid)

    async def end_login(self, caller: UserCaller) -> None:
        """End the login by which the caller came. Raises as `log_out`."""
        await self._tokens.revoke_login(caller.token_id, caller.uid)

    async def prove_to(self, application: AppCaller, token: str) -> str:
        """Whose token an application was given: a user's of its tenant, or one for this application.

        Raises:
            Unauthorized: neither.
            Forbidden: a user's of another tenant.
            Unavailable: the database is away.
        """
        try:
            return self._tokens.verify_audience(token, application.id).uid
        except Unauthorized:
            user = await self.user(token)
        if user.tenant_id != application.tenant_id:
            raise Forbidden("token: of a user of another tenant")
        return user.uid

    async def verify_password(self, uid: str, password: str, origin: str) -> None:
        """Whether it is this user's, counted as a login is.

        Raises:
            LoginRefused: it is not.
            LimitReached: too many wrong tries.
        """
        await self._find(Attempt(name=uid, password=password, origin=origin, is_uid=True))

    async def _log_in(self, attempt: Attempt, admit: Admit | None) -> LoggedIn:
        since = self._tokens.moment()
        candidate, check = await self._find(attempt)
        account, device, kind = candidate.account, attempt.device_id, attempt.device_type
        if admit is not None:
            await admit(account)
        await self._database.write(lambda session: _note(session, attempt, candidate, check))
        try:
            token = await self._tokens.issue(
                account.uid, device_id=device, device_type=kind, since=since
            )
        except Unauthorized:  # it is another password now
            raise LoginRefused("auth failed") from None
        return LoggedIn(token, candidate.person)

    async def _find(self, attempt: Attempt) -> tuple[Candidate, Check]:
        now = self._now()
        name = f"{'uid' if attempt.is_uid else 'name'}:{attempt.name}"
        self._origins.take(attempt.origin, now, what="login")
        try:
            self._names.take(name, now, what="login")
        except PushError:
            self._origins.give_back(attempt.origin, now)
            raise
        try:
            found = await self._right_one(attempt)
        except LoginRefused:
            raise
        except PushError:  # the database is away, or too many wait: nobody has learnt anything
            self._give_back(name, attempt.origin)
            raise
        self._give_back(name, attempt.origin)
        return found

    def _give_back(self, name: str, origin: str) -> None:
        now = self._now()
        self._names.give_back(name, now)
        self._origins.give_back(origin, now)

    async def _right_one(self, attempt: Attempt) -> tuple[Candidate, Check]:
        def find(session: Session) -> Sequence[Candidate]:
            if attempt.is_uid:
                return find_candidate(session, attempt.name)
            return find_candidates(session, attempt.name, attempt.tenant_id)

        candidates = await self._database.read(find)
        if not candidates:
            await self._passwords.check(attempt.password, None)
        for candidate in candidates:
            check = await self._passwords.check(attempt.password, candidate.stored)
            if check.is_right and candidate.is_enabled and can_log_in(candidate.person.uid):
                return candidate, check
        raise LoginRefused("auth failed")


def _outcome(error: PushError) -> str:
    if isinstance(error, LoginRefused):
        return "refused"
    return "slowed" if isinstance(error, LimitReached) else "failed"


def _check_fields(attempt: Attempt) -> None:
    text_of("userName", attempt.name, MAX_LOGIN, least=1)
    text_of("baseRequest.deviceID", attempt.device_id, MAX_DEVICE)
    text_of("baseRequest.deviceType", attempt.device_type, MAX_TYPE)


def _note(session: Session, attempt: Attempt, candidate: Candidate, check: Check) -> None:
    """What a login leaves behind, beside its token."""
    uid = candidate.person.uid
    if check.replacement is not None:
        replace_password(session, uid, candidate.stored, check.replacement)
    note_client(session, uid, attempt.device_type, attempt.device_id)
    if attempt.apns_token:
        device_id = attempt.device_id or attempt.apns_token
        keep_apns_token(session, uid, device_id, attempt.apns_token)
