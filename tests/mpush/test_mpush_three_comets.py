"""The checklist of Mpush (spec section 14), and version 2.2, on three comets, with PostgreSQL, Redis and ZooKeeper."""

from tests.mpush.acknowledging import Acknowledging
from tests.mpush.failing import Failing
from tests.mpush.installation import three_comets
from tests.mpush.logging_in import LoggingIn
from tests.mpush.pushing import Pushing
from tests.mpush.version_2 import Version2
from tests.mpush.waiting import Waiting

INSTALLATION = three_comets


class TestLoggingIn(LoggingIn):
    """Items 1 to 3, 8 and 14."""


class TestPushing(Pushing):
    """Items 4 to 7, 12 and 13."""


class TestAcknowledging(Acknowledging):
    """Items 9 to 11."""


class TestVersion2(Version2):
    """Sections 11.2 to 11.7."""


class TestWaiting(Waiting):
    """What of items 1 and 6 takes its time."""


class TestFailing(Failing):
    """Comets that are killed; nothing comes behind it."""
