"""Quotas and statistics of /v2.

GET    /v2/quotas?tenant=T     {"items":[{"id","type","period","value","used",...}],"next":...}
POST   /v2/quotas  {"tenant_id":"t1","type":"push_cnt","period":"day","value":"1000"}   201
GET    /v2/quotas/Q            PATCH {"value":"2000"}      DELETE 204
GET    /v2/statistics?kind=push&period=day&from=2026-11-01
                               {"items":[{"period":"2026-11-01","name":"@user","count":7,...}],"next":...}
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_quotas as described
from web.api.v2_frame import Rule, body, headers, id_in, json_answer, no_content, query
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Principal
from web.core.quota_keeping import (
    NewQuota,
    Quota,
    QuotaChange,
    QuotasAnswer,
    Statistic,
    StatisticsAnswer,
)
from web.services.callers import Callers
from web.services.quota_keeping import QuotaKeeping
from web.services.statistics import Asked, Statistics

_NEW = msgspec.json.Decoder(NewQuota)
_CHANGE = msgspec.json.Decoder(QuotaChange)


class QuotasPart:
    """The handlers."""

    structs = (Quota, NewQuota, QuotaChange, QuotasAnswer, Statistic, StatisticsAnswer)

    def __init__(self, callers: Callers, quotas: QuotaKeeping, statistics: Statistics) -> None:
        self._callers, self._quotas, self._statistics = callers, quotas, statistics
        one = "/v2/quotas/<quota_id>"
        self.rules = (
            Rule("GET", "/v2/quotas", self.list_quotas, described.list_quotas()),
            Rule("POST", "/v2/quotas", self.create, described.create_quota()),
            Rule("GET", one, self.get, described.get_quota()),
            Rule("PATCH", one, self.change, described.change_quota()),
            Rule("DELETE", one, self.delete, described.delete_quota()),
            Rule("GET", "/v2/statistics", self.get_statistics, described.get_statistics()),
        )

    async def list_quotas(self) -> QuartResponse:
        """A page."""
        caller = await self._caller()
        asked = query("tenant", "customer", *PARAMETERS)
        items, after = await self._quotas.page(
            caller, paging_of(asked, str, str), id_in(asked, "tenant"), id_in(asked, "customer")
        )
        return json_answer(QuotasAnswer(items=items, next=after))

    async def create(self) -> QuartResponse:
        """A new one."""
        caller = await self._caller()
        query()
        wanted = decode(_NEW, await body())
        return json_answer(await self._quotas.create(caller, wanted), 201)

    async def get(self, quota_id: str) -> QuartResponse:
        """One."""
        caller = await self._caller()
        query()
        return json_answer(await self._quotas.get(caller, known_id("quota", quota_id)))

    async def change(self, quota_id: str) -> QuartResponse:
        """Another value."""
        caller = await self._caller()
        query()
        wanted = decode(_CHANGE, await body())
        return json_answer(await self._quotas.change(caller, known_id("quota", quota_id), wanted))

    async def delete(self, quota_id: str) -> QuartResponse:
        """Lift one."""
        caller = await self._caller()
        query()
        await self._quotas.delete(caller, known_id("quota", quota_id))
        return no_content()

    async def get_statistics(self) -> QuartResponse:
        """What was counted."""
        caller = await self._caller()
        asked = query("kind", "period", "from", "to", "tenant", *PARAMETERS)
        wanted = Asked(
            kind=asked.get("kind", "push"),
            period=asked.get("period", "day"),
            first=asked.get("from"),
            last=asked.get("to"),
            tenant=id_in(asked, "tenant"),
        )
        paging = paging_of(asked, str, str, str, str)
        items, after = await self._statistics.page(caller, paging, wanted)
        return json_answer(StatisticsAnswer(items=items, next=after))

    async def _caller(self) -> Principal:
        return await self._callers.principal(headers(), "admin")
