"""Quotas and statistics, as /v2 shows and takes them. Widths are the columns'."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from web.core.fields import known_id, text_of
from web.core.paging import Next
from web.core.quota import EVERY_TENANT, check_quota

MAX_API_NAME = 255  # characters
MAX_VALUE = 45

TenantId = Annotated[
    str, Meta(description='"*" = all of the customer together that have no quota of their own')
]
Kind = Annotated[str, Meta(description="expire, api_cnt or push_cnt")]
ApiName = Annotated[str, Meta(description='A path of 8093; "" for pushes')]
Period = Annotated[str, Meta(description="total, day or month")]
Value = Annotated[
    str,
    Meta(description='A number, "-1" = no limit; for expire a time such as "2027/01/31 23:59:59"'),
]


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, and what was used of it."""

    id: str
    customer_id: str
    tenant_id: TenantId
    api_name: ApiName
    type: Kind
    period: Period
    value: Value
    used: Annotated[int, Meta(description="In the period `used_in`; an older one is over")]
    used_in: Annotated[str, Meta(description='Such as "2026-11-21"; "" = nothing was taken yet')]


class NewQuota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit to set."""

    type: Kind
    value: Value
    tenant_id: TenantId | None = None
    customer_id: Annotated[str, Meta(description='For tenant "*"; else it is the tenant\'s')] = ""
    api_name: ApiName = ""
    period: Period = "total"

    def check(self) -> None:
        """Raise BadInput for what would mean nothing."""
        if self.tenant_id not in (None, EVERY_TENANT):
            known_id("tenant_id", self.tenant_id)
        if self.customer_id:
            known_id("customer_id", self.customer_id)
        text_of("api_name", self.api_name, MAX_API_NAME)
        text_of("value", self.value, MAX_VALUE)
        check_quota(self.type, self.period, self.api_name, self.value)


class QuotaChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another value."""

    value: Value | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.value is not UNSET:
            text_of("value", self.value, MAX_VALUE)


class QuotasAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of quotas, by tenant."""

    items: list[Quota]
    next: Next


class Statistic(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one thing happened in one period."""

    period: Annotated[str, Meta(description='"2026-11-21", "2026-11" or "total"')]
    tenant_id: Annotated[str, Meta(description='"" = of users without one')]
    name: Annotated[str, Meta(description='What was pushed to, "@user"; or the path called')]
    type: Annotated[str, Meta(description="ios, android or app")]
    count: int


class StatisticsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A page of them, by period, tenant, name and type."""

    items: list[Statistic]
    next: Next
