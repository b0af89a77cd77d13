"""Apple's push notification service, over aioapns in an island of asyncio.

    POST /3/device/<token>    authorization, apns-topic, apns-id, apns-push-type, apns-priority, apns-expiration,
                              apns-collapse-id
    200                       DELIVERED
    410 Unregistered          GONE, with Apple's timestamp
    400 BadDeviceToken        GONE, once Apple has taken anything else of this credential: before that it may be
                              the wrong environment, and every device of the tenant would be forgotten
    403, bad topic            MISCONFIGURED; a token that Apple takes for expired is signed again first
    429, 500, 503             RETRY, after what Retry-After says
    any other 400, 413, ...   REFUSED

A connection that ends or stays silent is RETRY: the notification may have been shown, and its repetition
replaces it, by its collapse id.

Source: Apple, "Sending notification requests to APNs" and "Handling notification responses from APNs".
"""

import re
import ssl
from collections.abc import Sequence
from functools import partial

import msgspec
import structlog
import trio
from aioapns.exceptions import ConnectionClosed

from appmodel.io.outbound import Resolve
from web.core.notifications import (
    ApnsStyle,
    Device,
    Notification,
    Provider,
    apns_payload,
    collapse_id,
)
from web.gateways.apns_connection import ApnsRequest, ApnsResult
from web.gateways.apns_pool import ApnsPool
from web.gateways.apns_token import SharedToken
from web.gateways.credentials import ApnsCertificate, ApnsKey
from web.gateways.interface import DELIVERED, Kind, Receipt, retry_after
from web.gateways.island import Island

_TOKEN = re.compile(r"[0-9A-Fa-f]{2,200}")  # Apple's have 64 digits today
_REASON = re.compile(r"[A-Za-z]{1,60}")

_EXPIRED = "ExpiredProviderToken"
_DEAD = frozenset({"Unregistered", "ExpiredToken"})
_WRONG_CREDENTIAL = frozenset(
    {
        "BadCertificate",
        "BadCertificateEnvironment",
        "BadTopic",
        "Forbidden",
        "InvalidProviderToken",
        "MissingProviderToken",
        "MissingTopic",
        "TopicDisallowed",
        "UnrelatedKeyIdInToken",
        "BadEnvironmentKeyIdInToken",
        _EXPIRED,
    }
)

log = structlog.get_logger(__name__)


class ApnsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How Apple is spoken to."""

    host: str
    port: int
    timeout: float  # seconds for one notification, from the connection to the answer
    max_connections: int  # of one credential
    idle_timeout: float  # seconds
    style: ApnsStyle | None = ApnsStyle()  # None: the body is `Notification.custom`, as it is


class ApnsGateway:
    """One tenant's app at Apple."""

    provider: Provider = "apns"

    def __init__(
        self,
        credential: ApnsKey | ApnsCertificate,
        island: Island,
        options: ApnsOptions,
        tls: ssl.SSLContext,
        token: SharedToken | None,
        resolve: Resolve,
    ) -> None:
        """
        Args:
            tls: trusts Apple; with a certificate, it shows that.
            token: with a key, what it signs.
        """
        self._topic = credential.topic
        self._island = island
        self._options = options
        self._token = token
        self._resolve = resolve
        self._tls = tls
        self._pool: ApnsPool | None = None
        self._proven = False  # Apple has taken something of this credential

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """See Gateway."""
        if not _TOKEN.fullmatch(device.token):
            return Receipt(Kind.GONE, "BadDeviceToken")  # and it would be a part of a path
        request = ApnsRequest(
            device.token,
            self._body(notification, badge),
            expiration=int(notification.expires_at),
            priority=notification.priority,
            collapse_key=collapse_id(notification),
            topic=self._topic,
        )
        signed_at = self._token.signed_at if self._token is not None else 0.0
        try:
            with trio.fail_after(self._options.timeout):
                result = await self._island.call(self._push(request))
        except trio.TooSlowError:
            return Receipt(Kind.RETRY, "no answer in time")
        except (ConnectionClosed, OSError) as error:  # OSError: ssl's are, too
            return Receipt(Kind.RETRY, str(error) or type(error).__name__)
        return self._judge(result, signed_at)

    async def aclose(self) -> None:
        """See Gateway."""
        if self._pool is not None:
            await self._island.call(self._close(self._pool))

    def _body(self, notification: Notification, badge: int | None) -> bytes:
        style = self._options.style
        if style is None:
            return msgspec.json.encode(notification.custom)
        return apns_payload(notification, badge, style)

    async def _push(self, request: ApnsRequest) -> ApnsResult:
        if self._pool is None:  # made here: it wants to be inside of asyncio
            options = self._options
            self._pool = ApnsPool(
                options.host,
                options.port,
                self._topic,
                self._tls,
                self._token,
                partial(self._island.from_asyncio, self._find),
                max_connections=options.max_connections,
                idle_timeout=options.idle_timeout,
            )
        return await self._pool.send_notification(request)

    async def _find(self) -> Sequence[str]:
        return await self._resolve(self._options.host, self._options.port)

    async def _close(self, pool: ApnsPool) -> None:
        pool.close()

    def _judge(self, result: ApnsResult, signed_at: float) -> Receipt:
        said = result.description or ""
        reason = said if _REASON.fullmatch(said) else f"status {result.status[:3]}"
        if result.status == "200":
            self._proven = True
            return DELIVERED
        if result.status == "410" or said in _DEAD:
            self._proven = True
            at = result.timestamp
            return Receipt(Kind.GONE, reason, at=None if at is None else at / 1000)
        if said == "BadDeviceToken":
            return Receipt(Kind.GONE if self._proven else Kind.REFUSED, reason)
        if said == _EXPIRED and self._token is not None and self._token.renew(signed_at):
            return Receipt(Kind.RETRY, reason)
        if said in _WRONG_CREDENTIAL or result.status == "403":
            return Receipt(Kind.MISCONFIGURED, reason)
        if result.status == "429" or result.status.startswith("5"):
            return Receipt(Kind.RETRY, reason, after=retry_after(result.retry_after))
        return Receipt(Kind.REFUSED, reason)
