"""FCM, against the contract of gateways."""

from contextlib import AbstractAsyncContextManager

from tests.contract.gateway import PATIENCE, Case, GatewayContract
from tests.web.gateways.fcm_case import opened
from tests.web.gateways.google import google_error


class TestFcmGateway(GatewayContract):
    """Its errors as Google documents them."""

    GONE = (
        (google_error(404, "NOT_FOUND", "UNREGISTERED"), None),
        (google_error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), None),
        (
            google_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message.token"),
            None,
        ),
    )
    BUSY = (
        (google_error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after="30"), 30.0),
        (google_error(500, "INTERNAL", "INTERNAL"), None),
        (google_error(503, "UNAVAILABLE", "UNAVAILABLE", retry_after="7"), 7.0),
    )
    REFUSED = (
        google_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        google_error(400, "INVALID_ARGUMENT", field="message.android.ttl"),
    )
    MISCONFIGURED = (
        google_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
        google_error(403, "PERMISSION_DENIED"),
        google_error(404, "NOT_FOUND"),
    )
    ERROR = google_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    MANY = 600

    def open_case(self, patience: float = PATIENCE) -> AbstractAsyncContextManager[Case]:
        return opened(patience=patience)
