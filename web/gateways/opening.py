"""The notifications of a web node, wired: what web/app.py opens and what a push hands its jobs to.

    async with open_notifier(config.notifications, database, reading, metrics, login_life=...) as notifier:
        notifier.notify([Job(...)])

    Notifier ─> Addressing, Unread ─> Delivery ─> Keyring ─> ApnsGateway, FcmGateway, WebPushGateway

When the block ends, what was not tried yet has `drain_timeout`; then connections are closed, and what was postponed
is lost.
"""

import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path

import structlog
import trio
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, ConfigError
from appmodel.io.database import Database
from appmodel.io.outbound import Outbound, SystemResolver, trusting
from appmodel.orm.provider_credentials import (
    CertificatePaths,
    StoredCredential,
    certificate_paths,
    stored_credentials,
)
from appmodel.runtime.metrics import Metrics
from web.core.notifications import ApnsStyle, Provider
from web.gateways.addressing import Addressing
from web.gateways.apns import ApnsGateway, ApnsOptions
from web.gateways.apns_token import SharedToken
from web.gateways.config import NotificationsConfig
from web.gateways.credentials import (
    ApnsCertificate,
    ApnsKey,
    ServiceAccount,
    VapidKey,
    parse_credential,
)
from web.gateways.delivery import Delivery, DeliveryLimits
from web.gateways.fcm import FcmGateway
from web.gateways.interface import Gateway
from web.gateways.island import Island
from web.gateways.keyring import Keyring
from web.gateways.queue import Notifier, QueueLimits
from web.gateways.unread import Inboxes, Unread
from web.gateways.webpush import WebPushGateway

Hear = Callable[[Iterable[str] | None], None]

MAX_PEM = 64 * 1024  # characters of a certificate file

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_notifier(
    config: NotificationsConfig,
    database: Database,
    inboxes: Inboxes,
    metrics: Metrics,
    *,
    login_life: float,
    listen: Callable[[Hear], None] = lambda hear: None,
) -> AsyncIterator[Notifier]:
    """A notifier that works until the block ends, and a moment longer, also if it is cancelled.

    Args:
        inboxes: `Reading`: presence and stored messages, for badges.
        login_life: seconds from the last use of a login that is written to its end: what
            `user_token.expires` says of when somebody was here.
        listen: has its argument told what changes in the database: `Changes.listen`. Without it new
            credentials count after `refresh`.

    Raises:
        ConfigError: the authorities to trust cannot be read.
    """
    island = Island()
    addressing = Addressing(database, login_life)
    style = ApnsStyle(config.apns.sound, config.apns.category)
    factory = Factory(config, island, style)
    keyring = Keyring(
        Credentials(database, config.apns.adopted),
        factory.open,
        refresh=config.refresh,
        pause=config.misconfigured_pause,
    )
    delivery = Delivery(keyring, addressing, _delivery_limits(config), now=time.time)
    limits = QueueLimits(
        backlog=config.backlog, retry_for=config.retry_for, pause=config.first_pause
    )
    unread = Unread(inboxes, addressing, reads=config.badge_reads)
    notifier = Notifier(addressing, unread, delivery, limits)
    _observe(metrics, notifier, island)
    listen(keyring.hear)
    at_work = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        await nursery.start(_work, at_work, island, notifier)
        at_work.shield = True  # a node ends by cancelling us: what was pushed still goes out
        try:
            yield notifier
        finally:
            with trio.move_on_after(config.drain_timeout, shield=True):
                await notifier.drained()
            with trio.move_on_after(config.drain_timeout, shield=True):
                await keyring.aclose()
            at_work.cancel()


async def _work(
    until: trio.CancelScope,
    island: Island,
    notifier: Notifier,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    with until:
        async with trio.open_nursery() as nursery:
            await nursery.start(island.run)
            await nursery.start(notifier.run)
            task_status.started()


class Factory:
    """Gateways from credentials. What they share is made here; connections and names are each tenant's own."""

    def __init__(
        self, config: NotificationsConfig, island: Island, style: ApnsStyle | None
    ) -> None:
        """
        Args:
            style: of APNs; see ApnsOptions.

        Raises:
            ConfigError: the authorities to trust cannot be read.
        """
        self._config = config
        self._style = style
        self._island = island
        self._resolve = SystemResolver()
        if config.outbound.ca_file:
            _ = self._tls  # a file that cannot be read is known at start

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """For all but Apple. The system's authorities take 50 ms to read: when there is somebody to call."""
        return authorities(self._config)

    @cached_property
    def _apns_tls(self) -> ssl.SSLContext:
        return authorities(self._config)

    async def open(self, provider: Provider, stored: StoredCredential) -> Gateway:
        """See OpenGateway."""
        kind, topic, environment, content = stored
        match parse_credential(
            provider, kind, topic=topic, environment=environment, content=content
        ):
            case ApnsKey() as key:
                token = SharedToken(key.key, key.key_id, key.team_id)
                return self._apns(key, self._apns_tls, token)
            case ApnsCertificate() as certificate:
                tls = await trio.to_thread.run_sync(self._tls_showing, certificate.pem)
                return self._apns(certificate, tls, None)
            case ServiceAccount() as account:
                return FcmGateway(
                    account,
                    self._outbound(),
                    self._config.fcm_url,
                    patience=self._config.outbound.timeout,
                )
            case VapidKey() as vapid:
                return WebPushGateway(vapid, self._outbound())

    def _apns(
        self, credential: ApnsKey | ApnsCertificate, tls: ssl.SSLContext, token: SharedToken | None
    ) -> ApnsGateway:
        config = self._config.apns
        place = config.sandbox if credential.sandbox else config.production
        host, _, port = place.rpartition(":")
        options = ApnsOptions(
            host=host.strip("[]"),
            port=int(port),
            timeout=self._config.outbound.timeout,
            max_connections=config.connections,
            idle_timeout=config.idle_timeout,
            style=self._style,
        )
        return ApnsGateway(credential, self._island, options, tls, token, self._resolve)

    def _outbound(self) -> Outbound:
        return Outbound(self._config.outbound, tls=self._tls, resolve=self._resolve)

    def _tls_showing(self, pem: str) -> ssl.SSLContext:
        context = authorities(self._config)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # for our eyes only
            file.write(pem)
            file.flush()
            try:
                context.load_cert_chain(file.name)
            except ssl.SSLError:  # a chain that is out of order, say
                raise BadInput("content", "********", "a certificate with its key") from None
        return context


class Credentials:
    """Where the keyring reads: the database, and for adopted ones the files that it names."""

    def __init__(self, database: Database, adopted: str) -> None:
        """`adopted`: the environment of certificates in files: "production" or "sandbox"."""
        self._database = database
        self._adopted = adopted

    async def credentials(self, tenant_id: str, provider: Provider) -> Sequence[StoredCredential]:
        """See Stored."""
        rows, paths = await self._database.read(partial(_find, tenant_id, provider))
        if paths is None:
            return rows
        pem = await trio.to_thread.run_sync(_read_pem, paths)
        return [StoredCredential("certificate", "", self._adopted, pem)]


def _find(
    tenant_id: str, provider: Provider, session: Session
) -> tuple[list[StoredCredential], CertificatePaths | None]:
    rows = stored_credentials(session, tenant_id, provider)
    paths = certificate_paths(session, tenant_id) if provider == "apns" and not rows else None
    return rows, paths


def _read_pem(paths: CertificatePaths) -> str:
    """Both files; "" if one cannot be read, which is no certificate then."""
    texts = []
    for path in paths:
        try:
            with Path(path).open(encoding="ascii") as file:
                texts.append(file.read(MAX_PEM))
        except (OSError, ValueError) as error:
            log.warning("an APNs certificate cannot be read", path=path, error=str(error))
            return ""
    return "\n".join(texts)


def authorities(config: NotificationsConfig) -> ssl.SSLContext:
    """TLS to providers. Raises ConfigError: those to trust cannot be read."""
    try:
        return trusting(config.outbound.ca_file)
    except OSError as error:
        path = "web.notifications.outbound.ca_file"
        expected = f"a PEM file of authorities ({error})"
        raise ConfigError(path, config.outbound.ca_file, expected) from None


def _delivery_limits(config: NotificationsConfig) -> DeliveryLimits:
    return DeliveryLimits(
        backlog=config.backlog,
        concurrency=config.concurrency,
        first_pause=config.first_pause,
        max_pause=config.max_pause,
    )


def _observe(metrics: Metrics, notifier: Notifier, island: Island) -> None:
    delivery = notifier.delivery
    metrics.counter(
        "web_notifications",
        "Notifications, by provider and what became of them.",
        lambda: delivery.outcomes,
        labels=("provider", "outcome"),
    )
    metrics.counter(
        "web_notification_retries",
        "Tries that a provider put off, by provider.",
        lambda: delivery.retries,
        labels=("provider",),
    )
    metrics.counter(
        "web_notification_users",
        "Users of pushes, by whether their devices were looked up.",
        lambda: notifier.users,
        labels=("outcome",),
    )
    metrics.counter("web_notification_tokens_forgotten", "Dead tokens.", lambda: delivery.forgotten)
    metrics.counter("web_notification_faults", "Errors inside of asyncio.", lambda: island.faults)
    metrics.gauge(
        "web_notifications_waiting",
        "Users to be looked up, notifications to be tried, and to be tried again.",
        lambda: {
            "users": notifier.waiting,
            "first": delivery.waiting,
            "again": delivery.postponed,
        },
        labels=("what",),
    )
