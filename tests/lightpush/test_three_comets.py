"""The checklist of light-push (spec section 15) on three comets behind a balancer that knows nothing, with PostgreSQL and Redis."""

from tests.lightpush.absent import Absent
from tests.lightpush.connecting import Connecting
from tests.lightpush.installation import three_comets
from tests.lightpush.namespaces import Namespaces
from tests.lightpush.pushing import Pushing
from tests.lightpush.rooms import Rooms

INSTALLATION = three_comets


class TestConnecting(Connecting):
    """Lines 1 to 5."""


class TestRooms(Rooms):
    """Lines 6, 7, 14 to 17 and 22."""


class TestPushing(Pushing):
    """Lines 8 to 11, 13 and 20."""


class TestNamespaces(Namespaces):
    """Lines 18, 19 and 21."""


class TestAbsent(Absent):
    """Line 12, and what of 11 is about the absent."""
