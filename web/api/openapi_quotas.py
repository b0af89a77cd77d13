"""The operations of /v2 about quotas and statistics, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query

READ = "For operators, and applications: what concerns their tenant."
WRITE = "For operators, and applications with permission `quota`: those of their own tenant."


def list_quotas() -> Json:
    """GET /v2/quotas"""
    return operation(
        "listQuotas",
        "List quotas",
        f"{READ} By tenant; operators see all, or those that they ask for.",
        parameters=[
            query("tenant", 'Of this tenant; "*" = those that tenants share'),
            query("customer", "Of this customer"),
            *PAGING,
        ],
        answers={"200": ("A page", content("QuotasAnswer"))},
        refusals="401 403 422 503",
    )


def create_quota() -> Json:
    """POST /v2/quotas"""
    return operation(
        "createQuota",
        "Set a quota",
        f"{WRITE} It begins with what was counted in its period before. 409: there is one for the "
        "same tenant, type, api_name and period; change that.",
        body=content(
            "NewQuota",
            example={"tenant_id": "t1", "type": "push_cnt", "period": "day", "value": "10000"},
        ),
        answers={"201": ("What was set", content("Quota"))},
        refusals="401 403 409 413 422 503",
    )


def get_quota() -> Json:
    """GET /v2/quotas/<quota_id>"""
    return operation(
        "getQuota",
        "Read a quota, and what was used of it",
        READ,
        answers={"200": ("The quota", content("Quota"))},
        refusals="401 403 404 422 503",
    )


def change_quota() -> Json:
    """PATCH /v2/quotas/<quota_id>"""
    return operation(
        "changeQuota",
        "Change the value of a quota",
        f"{WRITE} What was used stays used.",
        body=content("QuotaChange", example={"value": "20000"}),
        answers={"200": ("What it is now", content("Quota"))},
        refusals="401 403 404 413 422 503",
    )


def delete_quota() -> Json:
    """DELETE /v2/quotas/<quota_id>"""
    return operation(
        "deleteQuota",
        "Lift a quota",
        WRITE,
        answers={"204": ("Done", None)},
        refusals="401 403 404 422 503",
    )


def get_statistics() -> Json:
    """GET /v2/statistics"""
    return operation(
        "getStatistics",
        "How much was called and pushed",
        f"{READ} One item for each period, tenant, name and type in which something happened. "
        "What happened in the last second may be missing.",
        parameters=[
            query("kind", "push (default) or call"),
            query("period", "day (default), month or total"),
            query("from", "The first period, such as 2026-11-01; default: the oldest"),
            query("to", "The last one; default: the newest"),
            query("tenant", "Only this one; default: the caller's, of operators each"),
            *PAGING,
        ],
        answers={"200": ("A page", content("StatisticsAnswer"))},
        refusals="401 403 422 503",
    )
