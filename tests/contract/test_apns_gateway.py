"""APNs, against the contract of gateways."""

from contextlib import AbstractAsyncContextManager

from tests.contract.gateway import PATIENCE, Case, GatewayContract
from tests.web.gateways.apns_case import opened
from tests.web.gateways.apple import apple_error
from tests.web.gateways.h2_server import Reply


class TestApnsGateway(GatewayContract):
    """Its errors as Apple documents them."""

    GONE = (
        (apple_error(410, "Unregistered", timestamp=1_700_000_000_500), 1_700_000_000.5),
        (apple_error(410, "ExpiredToken", timestamp=1_700_000_000_000), 1_700_000_000.0),
        (apple_error(410, "Unregistered"), None),
        (apple_error(400, "BadDeviceToken"), None),
    )
    BUSY = (
        (apple_error(429, "TooManyRequests"), None),
        (apple_error(429, "TooManyProviderTokenUpdates"), None),
        (apple_error(500, "InternalServerError"), None),
        (apple_error(503, "ServiceUnavailable"), None),
        (apple_error(503, "Shutdown"), None),
        (Reply(503, [("retry-after", "17")], [b'{"reason":"ServiceUnavailable"}']), 17.0),
    )
    REFUSED = (
        apple_error(400, "DeviceTokenNotForTopic"),
        apple_error(400, "BadCollapseId"),
        apple_error(413, "PayloadTooLarge"),
        apple_error(405, "MethodNotAllowed"),
    )
    MISCONFIGURED = (
        apple_error(403, "InvalidProviderToken"),
        apple_error(403, "ExpiredProviderToken"),
        apple_error(403, "BadCertificateEnvironment"),
        apple_error(400, "TopicDisallowed"),
        apple_error(400, "BadTopic"),
    )
    ERROR = apple_error(400, "BadExpirationDate")
    MANY = 3000  # aioapns stops after 1,285

    def open_case(self, patience: float = PATIENCE) -> AbstractAsyncContextManager[Case]:
        return opened(patience=patience)
