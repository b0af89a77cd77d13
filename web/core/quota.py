"""What a tenant may still do: its limits, the periods that they count in, and who gets what is left.

    type      api_name       value                        limits
    expire    path, or ""    "2027/01/31 23:59:59"        nothing any more from then on
    api_cnt   path           "1000", "-1" = no limit      calls of that path
    push_cnt  ""             "1000", "-1" = no limit      entries of pushes

A row of tenant "*" counts for all tenants of its customer together that have no row of their own with
that type, name and period. Counts are for ever (total), a day or a month; all of them must fit. What
has no row follows the configured default: "unlimited", or "refuse" as appmsgsrv does. A row that cannot be
read refuses: somebody meant a limit.

Source: appmsgsrv app/apiCall.go, pushCnt.go; spec/appmsgsrv.md 9. Differences: periods; limits of one tenant
are reached (C6); users without a tenant follow the default, where the original lets them do anything.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal, Protocol, Self, TypeAlias

from appmodel.errors import BadInput, CallQuota, LimitReached, PushQuota
from web.core.principals import AppCaller, UserCaller

EVERY_TENANT = "*"
UNLIMITED = -1
MAX_COUNT = 10**15
EXPIRES = "%Y/%m/%d %H:%M:%S"
PHONES = frozenset({"ios", "android"})

Default: TypeAlias = Literal["unlimited", "refuse"]


class Kind(enum.StrEnum):
    """`quota.type`."""

    EXPIRE = "expire"
    CALLS = "api_cnt"
    PUSHES = "push_cnt"


class Period(enum.StrEnum):
    """`quota.period`."""

    TOTAL = "total"
    DAY = "day"
    MONTH = "month"

    def window(self, now: datetime) -> str:
        """The period that `now` lies in, as counters have it. Later ones sort behind."""
        match self:
            case Period.TOTAL:
                return "total"
            case Period.DAY:
                return now.strftime("%Y-%m-%d")
            case Period.MONTH:
                return now.strftime("%Y-%m")


@dataclass(frozen=True, slots=True)
class Consumer:
    """Whom calls and pushes are counted for."""

    customer_id: str  # "" = none
    tenant_id: str  # "" = none
    caller_id: str  # user or application
    type: str  # ios, android, app

    @classmethod
    def of_user(cls, caller: UserCaller, device_type: str = "") -> Self:
        """`device_type`: as its request says."""
        kind = device_kind(device_type)
        return cls(caller.customer_id, caller.tenant_id, caller.uid, kind)

    @classmethod
    def of_application(cls, caller: AppCaller) -> Self:
        """An application."""
        return cls(caller.customer_id, caller.tenant_id, caller.id, "app")


class Meter(Protocol):
    """Quotas and statistics: `Quotas`."""

    async def take_push(self, consumer: Consumer, count: int) -> None:
        """Raises PushQuota if `count` keys are more than are left; then nothing is taken."""

    def note_push(self, consumer: Consumer, push_type: str, entries: int) -> None:
        """For the statistics, some time later."""


def device_kind(device_type: str) -> str:
    """How counters know a device: "ios", "android"; everything else is "app"."""
    kind = device_type.lower()
    return kind if kind in PHONES else "app"


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """A row of table quota."""

    id: str
    customer_id: str
    tenant_id: str
    api_name: str
    type: str
    period: str
    value: str

    @property
    def scope(self) -> tuple[str, str, str, str]:
        """What no other row of its customer is for."""
        return self.tenant_id, self.api_name, self.type, self.period


@dataclass(frozen=True, slots=True)
class Limit:
    """So much, and no more, in each period. Taken from under `row.id`."""

    row: QuotaRow
    period: Period
    most: int


class CustomerQuotas:
    """The rows of one customer, read once."""

    def __init__(self, rows: Iterable[QuotaRow], zone: tzinfo) -> None:
        """`zone`: where the times of "expire" are told."""
        self._values: dict[tuple[str, str, str, str], datetime | int | None] = {}
        self._rows: dict[tuple[str, str, str, str], QuotaRow] = {}
        self.unreadable: list[QuotaRow] = []
        for row in rows:
            value = _read(row, zone)
            self._rows[row.scope], self._values[row.scope] = row, value
            if value is None:
                self.unreadable.append(row)

    def limits(
        self, tenant_id: str, kind: Kind, api_name: str, now: datetime, default: Default
    ) -> list[Limit]:
        """What has to be taken from, for `kind`; nothing = it need only be counted.

        Raises:
            LimitReached: as `kind` says it: expired, unreadable, or there is no row and the default refuses.
        """
        expire = self._find(tenant_id, api_name, Kind.EXPIRE, Period.TOTAL)
        counts = [
            row for period in Period if (row := self._find(tenant_id, api_name, kind, period))
        ]
        if default == "refuse" and not (expire and counts):
            raise refusal(
                kind, f"tenant {tenant_id!r} has no quota, and web.quota.default is refuse"
            )
        if expire is not None:
            until = self._values[expire.scope]
            if not isinstance(until, datetime):
                raise refusal(kind, f"the quota {expire.id!r} cannot be read: {expire.value!r}")
            if now > until:
                raise refusal(kind, f"tenant {tenant_id!r}: expired {expire.value!r}")
        limits = [self._limit(row, kind) for row in counts]
        return [limit for limit in limits if limit.most != UNLIMITED]

    def _find(self, tenant_id: str, api_name: str, kind: Kind, period: Period) -> QuotaRow | None:
        own = self._rows.get((tenant_id, api_name, kind, period))
        return own or self._rows.get((EVERY_TENANT, api_name, kind, period))

    def _limit(self, row: QuotaRow, kind: Kind) -> Limit:
        most = self._values[row.scope]
        if not isinstance(most, int):
            raise refusal(kind, f"the quota {row.id!r} cannot be read: {row.value!r}")
        return Limit(row, Period(row.period), most)


_REFUSALS: Mapping[Kind, type[LimitReached]] = {Kind.CALLS: CallQuota, Kind.PUSHES: PushQuota}


def refusal(kind: Kind, why: str) -> LimitReached:
    """The error of a kind: CallQuota or PushQuota."""
    return _REFUSALS[kind](f"{kind}: {why}")


def share(left: Mapping[str, int], wanted: Sequence[tuple[Sequence[str], int]]) -> list[str | None]:
    """Who gets what is left, first come first served; one that does not fit leaves it to the next.

    Args:
        left: of each limit, by its row's id; one that is missing is no limit any more.
        wanted: in the order they came: the limits to take from, and how many.

    Returns:
        for each the limit that has too little left, or None: it was granted.
    """
    remaining = dict(left)
    verdicts: list[str | None] = []
    for limits, count in wanted:
        short = next((one for one in limits if remaining.get(one, count) < count), None)
        if short is None:
            for one in limits:
                if one in remaining:
                    remaining[one] -= count
        verdicts.append(short)
    return verdicts


def check_quota(kind: str, period: str, api_name: str, value: str) -> None:
    """Whether a row would mean something.

    Raises:
        BadInput: it would not.
    """
    if kind not in set(Kind):
        raise BadInput("type", kind, f"one of {', '.join(Kind)}")
    if period not in set(Period):
        raise BadInput("period", period, f"one of {', '.join(Period)}")
    if kind == Kind.EXPIRE and period != Period.TOTAL:
        raise BadInput("period", period, "total, for type expire")
    if kind == Kind.PUSHES and api_name:
        raise BadInput("api_name", api_name, "nothing: pushes are counted without a path")
    if kind == Kind.CALLS and not api_name:
        raise BadInput(
            "api_name", api_name, "the path of the calls, such as /app/client/device/login"
        )
    if kind == Kind.EXPIRE and parse_expiry(value) is None:
        raise BadInput("value", value, 'a time such as "2027/01/31 23:59:59"')
    if kind != Kind.EXPIRE and parse_count(value) is None:
        raise BadInput("value", value, f"a number up to {MAX_COUNT}, or -1 = no limit")


def parse_expiry(text: str) -> datetime | None:
    """A time without a zone; None = it is none."""
    try:
        return datetime.strptime(text.strip(), EXPIRES)  # noqa: DTZ007  the caller knows the zone
    except ValueError:
        return None


def parse_count(text: str) -> int | None:
    """A limit; None = it is none."""
    text = text.strip()
    if text == str(UNLIMITED):
        return UNLIMITED
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_COUNT)):
        return None
    return int(text) if int(text) <= MAX_COUNT else None


def _read(row: QuotaRow, zone: tzinfo) -> datetime | int | None:
    if row.type == Kind.EXPIRE:
        until = parse_expiry(row.value)
        return None if until is None else until.replace(tzinfo=zone)
    return parse_count(row.value)
