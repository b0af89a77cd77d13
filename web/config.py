"""[web] and its parts: listeners, what one request may ask for, and how long it may take."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from appmodel.core.mpush_waits import MAX_AWAITED, MAX_WAIT
from appmodel.core.outward import Outward
from appmodel.core.units import Duration, Size
from appmodel.io.http_limits import HttpLimits
from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.config import Count, Password, Port, Section, Share, TlsConfig
from web.core.lightpush_offline import MAX_OWED
from web.core.mpush_drafts import Unknown
from web.core.texts import Language
from web.gateways.config import NotificationsConfig

WELL_KNOWN = "123456"  # the administrator's password of every light-push


class ListenerConfig(Section, frozen=True, kw_only=True):
    """Where callers connect, and which web pages may call from a browser."""

    host: str = "127.0.0.1"
    port: Port = 0
    tls: TlsConfig = TlsConfig()
    origins: tuple[
        str, ...
    ] = ()  # beside the own host and loopback: "https://shop.example"; "*" = any
    http: HttpLimits = HttpLimits()


class PublicConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.public]. What clients ask before they connect."""

    port: Port = 8090  # http.bind of the samples


class AdminConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.admin]. gopush-cluster's push API, for business systems."""

    port: Port = 8091  # admin.bind of the samples


class AppConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.app]. appmsgsrv's application API, for devices, browsers and applications."""

    port: Port = 8093  # app.bind of the samples
    expire: Duration = Duration(
        7 * 86400
    )  # how long a message is kept that does not say; [msg] expire of the samples
    language: Language = "en"  # of what people read: notices in groups, pages; "en" or "zh"
    weedfs: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9._-]+(:[0-9]{1,5})?)?$")] = (
        ""  # "host:port" before the avatars in lists of a group's members; empty: as they are
    )


class ApiConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.api]. The /v2 API, the demo page, metrics and health."""

    port: Port = 8094


class OfflineConfig(Section, frozen=True, kw_only=True):
    """[web.lightpush.offline]. What is done for clients that did not acknowledge a push with `leaveMessage`.

    All web nodes share the work. How Apple is reached is in [web.notifications].
    """

    apns_aps_alert: str = (
        ""  # what phones show of a push without alert; empty: "Notification", in web.app.language
    )
    poll: Duration = Duration(1)  # between two looks at the queue
    jobs: Count = 16  # pushes in hand at once
    page: Annotated[int, msgspec.Meta(ge=1, le=1000)] = (
        500  # members of a room that are looked up together
    )
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=MAX_OWED)] = (
        50  # notifications of one push at once; as many may wait for their next try
    )
    lease: Duration = Duration(
        60
    )  # then another node takes what this one had in hand; at least 3 times web.notifications.outbound.timeout
    first_pause: Duration = Duration(1)  # before Apple is asked a second time, at most; doubles
    max_pause: Duration = Duration(60)  # up to here, or what Apple asks for
    drain_timeout: Duration = Duration(3)  # at the end, for what was begun

    def __post_init__(self) -> None:
        if not all((self.poll, self.lease, self.first_pause)):
            raise ValueError("poll, lease, first_pause: expected more than 0 s")


class LightpushConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.lightpush]. light-push's REST, for the business systems of namespaces and for the administrator.

    Everything that comets must know too is in [lightpush].
    """

    enabled: bool = True
    port: Port = 10002  # listen of its logic.conf
    admin_name: str = "admin"  # of /api/admin/
    admin_password: Password = Password(
        WELL_KNOWN
    )  # of /api/admin/; the default is the original's 123456, for loopback only
    clear_secrets: bool = (
        False  # answer passwords and keys as they are: while an installation is being moved
    )
    tries: Share = 20  # wrong passwords for a name in `window`, then at that pace; 0 = any
    address_tries: Share = 100  # the same per address, or network of 64 bits in IPv6
    window: Duration = Duration(60)
    remembered: Count = 100_000  # names and addresses whose tries are counted
    client_legacy_expire: Duration = Duration(
        240 * 3600
    )  # after the last connect: what clear-legacy-client forgets
    report_online_list_max_limit: Count = 1000  # names in a list of the online report
    report_push_ack_detail_max_limit: Count = 1000  # clients in a list of a push's report
    offline: OfflineConfig = OfflineConfig()


class ReceiversConfig(Section, frozen=True, kw_only=True):
    """[web.mpush.receivers]. Copies for web hooks, Web Push and FCM. All web nodes share the work."""

    poll: Duration = Duration(1)  # between two looks for what other nodes were pushed
    at_once: Count = 32  # receivers of each kind that are served at the same time, by one node
    retry: Duration = Duration(3)  # after a first failure; doubles; webhook.retryTimeout
    max_retry: Duration = Duration(60)  # up to here, or what the other end asks for
    hold: Duration = Duration(600)  # while the configuration of a kind is wrong
    lease: Duration = Duration(
        60
    )  # then another node takes what this one had in hand; a copy may take a third of it
    outbound: OutboundLimits = OutboundLimits(
        max_connections=64, max_answer=Size(256 * 1024)
    )  # to web hooks

    def __post_init__(self) -> None:
        if not all((self.poll, self.retry, self.max_retry, self.hold)):
            raise ValueError("poll, retry, max_retry, hold: expected more than 0 s")
        if self.lease < 3 * self.outbound.timeout:
            raise ValueError("lease: expected at least 3 times outbound.timeout")


class MpushConfig(ListenerConfig, frozen=True, kw_only=True):
    """[web.mpush]. Mpush for who pushes: words for answers, JSON, streams.

    What comets must know too is in [mpush].
    """

    enabled: bool = True
    port: Port = 2246  # HTTP_PORT of the original
    open: Literal["auto", "yes", "no"] = (
        "auto"  # whether who pushes needs no token; auto: while auth.mode is off
    )
    line_feed: bool = True  # behind words: "ok\n", as the first versions; false: "ok"
    unknown: Unknown = (
        "refuse"  # parameters that nobody knows; "ignore", as the original, which then loses them
    )
    wait: Duration = Duration(3)  # for an acknowledgement: then `online`
    reply_wait: Duration = Duration(5)  # the same in version 2.2: http.waitTimeout
    targets: Annotated[int, msgspec.Meta(ge=1, le=MAX_AWAITED)] = (
        1_000  # devices that one call may push to
    )
    max_delay: Duration = Duration(30 * 86400)  # the farthest that a push may wait for its time
    readers: Count = 1_000  # streams at once, on one node
    readers_of_one: Count = 100  # the same of one device
    beat: Duration = Duration(45)  # of silence, then an idle stream says that it lives
    poll: Duration = Duration(0.5)  # between two looks for what other nodes have pushed
    receivers: ReceiversConfig = ReceiversConfig()

    def __post_init__(self) -> None:
        if not all((self.beat, self.poll)):
            raise ValueError("beat, poll: expected more than 0 s")
        if max(self.wait, self.reply_wait) > MAX_WAIT:
            raise ValueError(f"wait, reply_wait: expected at most {MAX_WAIT:g} s")


class PushConfig(Section, frozen=True, kw_only=True):
    """[web.push]. What happens to a push whose owner does not answer."""

    fallback_after: Duration = Duration(
        2
    )  # then web saves what has a ttl by itself; less than web.push_timeout


class GroupsConfig(Section, frozen=True, kw_only=True):
    """[web.groups]. Groups, and what a user may keep for himself."""

    max_member: Count = 100  # members of a group that was not given another size; the original's
    most_members: Count = 10_000  # the largest size that a group may be given
    owned: Count = 500  # groups that one user may own
    contacts: Count = 5_000  # that one user may star
    mutes: Count = 1_000  # that one user may set


class QuotaConfig(Section, frozen=True, kw_only=True):
    """[web.quota]. How much tenants may call and push, and how that is counted."""

    default: Literal["unlimited", "refuse"] = (
        "unlimited"  # for what has no row; the original: refuse
    )
    zone: str = "UTC"  # where days begin, and the times of type "expire" are told: "Asia/Shanghai"
    flush: Duration = Duration(1)  # between two writes of the counters: what a crash may lose
    gathered: Count = 100_000  # different counters that may wait for the database; more are lost
    waiting: Count = 10_000  # calls that may wait for their quota; more are refused
    keep_days: Count = 92  # how long counters of single days are kept; those of months stay

    def __post_init__(self) -> None:
        try:
            _ = self.time_zone
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"zone: expected a zone such as Asia/Shanghai, got {self.zone!r}"
            ) from None

    @property
    def time_zone(self) -> ZoneInfo:
        """As datetime wants it."""
        return ZoneInfo(self.zone)


class LoginConfig(Section, frozen=True, kw_only=True):
    """[web.login]. How often somebody may try a password, and what checking one costs."""

    account_tries: Share = 10  # wrong ones per login name in `window`, then at that pace; 0 = any
    address_tries: Share = 100  # per address, or network of 64 bits in IPv6
    window: Duration = Duration(900)
    remembered: Count = 100_000  # names, and as many addresses, whose tries are counted
    threads: Annotated[int, msgspec.Meta(ge=1, le=16)] = 2  # that check passwords
    waiting: Count = 64  # logins that may wait for them; more are refused
    argon2_memory: Size = Size(
        19 * 1024**2
    )  # of one check; more is dearer for thieves of the table
    argon2_passes: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2  # over that memory
    min_password: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8  # characters that users choose


class CardConfig(Section, frozen=True, kw_only=True):
    """[web.card]. The business card at /app/user/erweima, which everybody can read who has its link."""

    enabled: bool = True
    show: tuple[Literal["mobile", "email"], ...] = (
        "mobile",
    )  # beside name and title: as much as the original shows
    reads: Share = 120  # of one address in a minute, then at that pace; 0 = any
    url: str = ""  # "https://push.example.com", for the QR code; empty: as the page was asked for


class S3Config(Section, frozen=True, kw_only=True):
    """[web.files.s3]. A bucket of Amazon S3, MinIO, Ceph; needs `pip install appmsgsrv[s3]`."""

    endpoint: str = ""  # "https://minio.internal:9000"; empty: Amazon's
    bucket: str = ""
    region: str = "us-east-1"
    access_key: str = ""  # both empty: as botocore finds them (environment, role of the machine)
    secret_key: Password = Password()
    path_style: bool = True  # https://host/bucket/...; false: https://bucket.host/...


class FilesConfig(Section, frozen=True, kw_only=True):
    """[web.files]. Files of /v2/files, and those elsewhere that messages speak of.

    They go `web.app.expire` after the last message that spoke of them.
    """

    store: Literal["local", "s3"] = "local"
    folder: Path = Path(
        "var/files"
    )  # for store = "local" the same on all web nodes; for "s3" only what is on its way
    s3: S3Config = S3Config()
    url: str = (
        ""  # "https://push.example.com", before addresses of files; empty: as it was uploaded
    )
    max_size: Size = Size(10 * 1024**2)  # of one file
    tenant_size: Size = Size(1024**3)  # of all files of a tenant; each counts 4 KiB more
    uploads: Count = 64  # at once; more are refused
    uploads_each: Count = 4  # of these for one user or application
    upload_timeout: Duration = Duration(120)  # for a whole file
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4  # for the store
    timeout: Duration = Duration(10)  # for one piece of the store
    hosts: tuple[
        str, ...
    ] = ()  # "weed.internal:8080": where files of messages are deleted when they expire; empty: nowhere
    clean_every: Duration = Duration(86400)  # by one node at a time
    deletions: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8  # under way at once
    flush: Duration = Duration(1)  # between two writes of who mentioned what
    gathered: Count = 100_000  # mentions that may wait for the database; more are lost

    def __post_init__(self) -> None:
        try:
            Outward(self.allowed)
        except ValueError:
            raise ValueError(
                f'hosts: expected "host" or "host:port", got {list(self.hosts)}'
            ) from None
        if not 0 < self.max_size < 2**31:
            raise ValueError(f"max_size: expected 1 byte to 2 GiB - 1, got {self.max_size}")
        if not all((self.clean_every, self.timeout, self.upload_timeout)):
            raise ValueError("clean_every, timeout, upload_timeout: expected > 0")
        if self.store == "s3" and not self.s3.bucket:
            raise ValueError("s3.bucket: expected a name, got nothing")

    @property
    def allowed(self) -> tuple[str, ...]:
        """`hosts` as the outbound client takes them; plain HTTP, as clients of appmsgsrv write them."""
        return tuple(f"http://{host}" for host in self.hosts)


class WebConfig(Section, frozen=True, kw_only=True):
    """[web]."""

    public: PublicConfig = PublicConfig()
    admin: AdminConfig = AdminConfig()
    app: AppConfig = AppConfig()
    api: ApiConfig = ApiConfig()
    lightpush: LightpushConfig = LightpushConfig()
    mpush: MpushConfig = MpushConfig()
    hosts: tuple[
        str, ...
    ] = ()  # while auth.mode is "off": names beside loopback by which this node may be called
    push: PushConfig = PushConfig()
    groups: GroupsConfig = GroupsConfig()
    login: LoginConfig = LoginConfig()
    card: CardConfig = CardConfig()
    notifications: NotificationsConfig = NotificationsConfig()
    files: FilesConfig = FilesConfig()
    proxies: tuple[str, ...] = (
        "127.0.0.0/8",
        "::1",
    )  # networks of proxies whose X-Forwarded-For is believed
    quota: QuotaConfig = QuotaConfig()
    push_timeout: Duration = Duration(5)  # for a push with all its retries
    read_timeout: Duration = Duration(5)  # for one read of the store or of the comets
    max_message: Size = Size(
        64 * 1024
    )  # of one pushed JSON text; the original's MySQL column holds as much
    max_names: Count = 10_000  # names or keys in one call
    page: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = (
        1_000  # messages of one read, and the most of one answer
    )
    stream_batch: Count = 512  # lines of /v2/push/stream that are pushed together
