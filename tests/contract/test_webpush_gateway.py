"""Web Push, against the contract of gateways."""

from contextlib import AbstractAsyncContextManager

from tests.contract.gateway import PATIENCE, Case, GatewayContract
from tests.web.gateways.h2_server import Reply
from tests.web.gateways.webpush_case import opened


class TestWebPushGateway(GatewayContract):
    """Status codes as RFC 8030 and the large push services have them."""

    GONE = ((Reply(404), None), (Reply(410, [], [b"push subscription has expired"]), None))
    BUSY = (
        (Reply(429, [("retry-after", "60")]), 60.0),
        (Reply(429), None),
        (Reply(429, [("retry-after", "Wed, 01 Jul 2026 08:00:00 GMT")]), None),
        (Reply(500), None),
        (Reply(502), None),
        (Reply(503, [("retry-after", "999999")]), 86400.0),
    )
    REFUSED = (Reply(413), Reply(400, [], [b"bad"]), Reply(301, [("location", "https://x/")]))
    MISCONFIGURED = (Reply(401), Reply(403, [], [b"the VAPID credentials do not match"]))
    ERROR = Reply(413, [], [b"x" * 60])
    MANY = 600

    def open_case(self, patience: float = PATIENCE) -> AbstractAsyncContextManager[Case]:
        return opened(patience=patience)
