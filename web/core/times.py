"""Times as appmsgsrv writes them in JSON: RFC 3339 in UTC, as Go's encoder does.

    2015-05-07T10:00:00.25Z        no zeros at the end
    0001-01-01T00:00:00Z           none at all: Go's zero

Source: Go time.RFC3339Nano; spec/appmsgsrv.md 1.2.
"""

from datetime import UTC, datetime

NEVER = "0001-01-01T00:00:00Z"


def rfc3339(moment: datetime | None) -> str:
    """The text of a time with a zone; None: of an adopted row without one."""
    if moment is None:
        return NEVER
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"
