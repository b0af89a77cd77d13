"""Times as Go's JSON has them."""

from datetime import UTC, datetime, timedelta, timezone

from web.core.times import rfc3339


def test_times_are_what_go_writes() -> None:
    """In UTC, with a fraction only where there is one."""
    noon = datetime(2015, 5, 7, 12, 0, 20, tzinfo=timezone(timedelta(hours=8)))

    assert rfc3339(noon) == "2015-05-07T04:00:20Z"
    assert rfc3339(datetime(2015, 5, 7, 12, 0, 0, 250_000, UTC)) == "2015-05-07T12:00:00.25Z"
    assert rfc3339(None) == "0001-01-01T00:00:00Z"
