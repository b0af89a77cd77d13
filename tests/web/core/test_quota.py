"""What a tenant may still do."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.errors import BadInput, CallQuota, PushQuota
from web.core.quota import (
    MAX_COUNT,
    Consumer,
    CustomerQuotas,
    Default,
    Kind,
    Period,
    QuotaRow,
    check_quota,
    device_kind,
    parse_count,
    share,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER, EARLIER = "2027/01/31 23:59:59", "2026/11/21 11:59:59"


def row(
    value: str, *, tenant: str = "t1", kind: str = "push_cnt", api: str = "", period: str = "total"
) -> QuotaRow:
    return QuotaRow(f"{tenant}/{kind}/{period}", "c1", tenant, api, kind, period, value)


def limits(
    *rows: QuotaRow,
    kind: Kind = Kind.PUSHES,
    api: str = "",
    default: Default = "unlimited",
    tenant: str = "t1",
) -> list[tuple[str, int]]:
    """What has to be taken from: ids and limits."""
    quotas = CustomerQuotas(rows, UTC)
    found = quotas.limits(tenant, kind, api, NOW, default)
    return [(limit.row.id, limit.most) for limit in found]


def test_without_rows_the_default_decides() -> None:
    """Nothing to take from, or nothing allowed."""
    assert limits() == []
    with pytest.raises(PushQuota, match="refuse"):
        limits(default="refuse")


@pytest.mark.parametrize("missing", ["expire", "push_cnt"])
def test_the_original_wants_both_rows(missing: str) -> None:
    """default = refuse is appmsgsrv: a time and a count, or nothing. Else each counts for itself."""
    both = [row(LATER, kind="expire"), row("7")]
    one = [each for each in both if each.type != missing]

    assert limits(*both, default="refuse") == [("t1/push_cnt/total", 7)]
    with pytest.raises(PushQuota):
        limits(*one, default="refuse")
    assert limits(*one) == ([] if missing == "push_cnt" else [("t1/push_cnt/total", 7)])


def test_a_row_of_the_tenant_replaces_that_of_all() -> None:
    """Of the same type, name and period; the others of "*" still count."""
    shared = [row("5", tenant="*"), row("3", tenant="*", period="day")]

    assert limits(*shared) == [("*/push_cnt/total", 5), ("*/push_cnt/day", 3)]
    assert limits(row("9"), *shared) == [("t1/push_cnt/total", 9), ("*/push_cnt/day", 3)]
    assert limits(row("-1"), row("-1", period="day"), *shared) == []
    assert limits(row("9", tenant="t2"), *shared, tenant="t3") == limits(*shared)


def test_minus_one_is_no_limit() -> None:
    """And 0 is one: nothing."""
    assert limits(row("-1")) == []
    assert limits(row("0")) == [("t1/push_cnt/total", 0)]


def test_time_runs_out() -> None:
    """In the configured zone, to the second."""
    assert limits(row(LATER, kind="expire")) == []
    with pytest.raises(PushQuota, match="expired '2026/11/21 11:59:59'"):
        limits(row(EARLIER, kind="expire"))

    noon = row("2026/11/21 12:00:00", kind="expire")
    assert limits(noon) == []
    china = CustomerQuotas([noon], ZoneInfo("Asia/Shanghai"))  # noon was eight hours ago there
    with pytest.raises(PushQuota):
        china.limits("t1", Kind.PUSHES, "", NOW, "unlimited")


@pytest.mark.parametrize("kind", ["expire", "push_cnt"])
@pytest.mark.parametrize("value", ["", "soon", "1e3", "٣", "-2", str(MAX_COUNT + 1), "9" * 45])
def test_a_row_that_cannot_be_read_refuses(kind: str, value: str) -> None:
    """Somebody meant a limit. It is told once, when the rows are read."""
    quotas = CustomerQuotas([row(value, kind=kind)], UTC)

    assert len(quotas.unreadable) == 1
    with pytest.raises(PushQuota, match="cannot be read"):
        quotas.limits("t1", Kind.PUSHES, "", NOW, "unlimited")


def test_calls_have_their_path() -> None:
    """A quota of one path is none of another, nor of pushes."""
    login = row("7", kind="api_cnt", api="/login")

    assert limits(login, kind=Kind.CALLS, api="/login") == [("t1/api_cnt/total", 7)]
    assert limits(login, kind=Kind.CALLS, api="/push") == []
    assert limits(login) == []
    with pytest.raises(CallQuota):
        limits(row(EARLIER, kind="expire", api="/login"), kind=Kind.CALLS, api="/login")


def test_windows_sort_as_time_goes_by() -> None:
    """So that an older one can never come back."""
    new_year = datetime(2027, 1, 1, tzinfo=UTC)

    assert [period.window(NOW) for period in Period] == ["total", "2026-11-21", "2026-11"]
    for period in (Period.DAY, Period.MONTH):
        assert "" < period.window(NOW) < period.window(new_year)


@given(
    left=st.dictionaries(st.sampled_from("abc"), st.integers(-3, 12)),
    wanted=st.lists(
        st.tuples(st.lists(st.sampled_from("abcd"), unique=True), st.integers(1, 5)), max_size=20
    ),
)
def test_shares(left: dict[str, int], wanted: list[tuple[list[str], int]]) -> None:
    """No limit is overdrawn; who is refused did not fit in what those before him left; all or none."""
    verdicts = share(left, wanted)

    remaining = dict(left)
    for (names, count), short in zip(wanted, verdicts, strict=True):
        known = [name for name in names if name in left]
        lacking = [name for name in known if remaining[name] < count]
        assert (short in lacking) if lacking else (short is None)
        if short is None:
            for name in known:
                remaining[name] -= count
    assert all(value >= 0 for name, value in remaining.items() if value != left[name])


@pytest.mark.parametrize(
    ("kind", "period", "api", "value", "field"),
    [
        ("push", "total", "", "1", "type"),
        ("push_cnt", "week", "", "1", "period"),
        ("expire", "day", "", LATER, "period"),
        ("push_cnt", "total", "/a", "1", "api_name"),
        ("api_cnt", "total", "", "1", "api_name"),
        ("push_cnt", "total", "", "many", "value"),
        ("push_cnt", "total", "", "-2", "value"),
        ("expire", "total", "", "2027-01-31", "value"),
        ("expire", "total", "", "2027/02/31 00:00:00", "value"),
    ],
)
def test_a_row_that_would_mean_nothing(
    kind: str, period: str, api: str, value: str, field: str
) -> None:
    """Is refused, with the field."""
    with pytest.raises(BadInput) as refused:
        check_quota(kind, period, api, value)

    assert refused.value.field == field


@given(st.text(max_size=20))
def test_any_text_is_a_count_or_none(text: str) -> None:
    """And a count fits into the column that counts."""
    count = parse_count(text)

    assert count is None or -1 <= count <= MAX_COUNT


def test_devices() -> None:
    """As counters know them: phones, and everything else."""
    assert [device_kind(name) for name in ("iOS", "ANDROID", "win", "")] == [
        "ios",
        "android",
        "app",
        "app",
    ]
    assert Consumer("c", "t", "u", "ios").type == "ios"
