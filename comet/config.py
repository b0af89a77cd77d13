"""[comet] and its parts. Defaults that come from gopush-cluster are marked with their place there."""

from typing import Annotated, Literal

import msgspec

from appmodel.core.units import Duration, Size
from appmodel.io.outbound_limits import OutboundLimits
from appmodel.runtime.config import Count, Port, Section, Share, TlsConfig, Weight
from appmodel.runtime.crew import RestartConfig, Workers


class ListenerConfig(Section, frozen=True):
    """Where clients connect."""

    enabled: bool = True  # false: this listener is not opened
    host: str = "127.0.0.1"
    port: Port = 0
    advertise: str = ""  # host:port that clients are told; empty: the address it is bound to
    tls: TlsConfig = TlsConfig()


class WebSocketConfig(ListenerConfig, frozen=True):
    """[comet.websocket]. Browsers, and everybody who can speak WebSocket."""

    port: Port = 6968  # websocket.bind
    origins: tuple[str, ...] = ()  # pages beside the own host and loopback; "*" = any
    hosts: tuple[
        str, ...
    ] = ()  # while auth.mode is "off": names beside loopback that may be called
    max_message: Size = Size(64 * 1024)  # that a client may say at once; the original's: 32 MiB
    handshake_timeout: Duration = Duration(5)  # of the request; the original waits for ever


class TcpConfig(ListenerConfig, frozen=True):
    """[comet.tcp]. Phones and devices with gopush's own protocol."""

    port: Port = 6969  # tcp.bind
    first_request_timeout: Duration = Duration(5)  # from accept: fitstPacketTimedoutSec


class SocketioConfig(ListenerConfig, frozen=True):
    """[comet.socketio]. Clients of Socket.IO and of Engine.IO, revisions 3 and 4 (socket_port of light-push)."""

    port: Port = 21314
    path: Annotated[str, msgspec.Meta(pattern="^/(.*/)?$")] = "/socket.io/"
    transports: tuple[Literal["polling", "websocket"], ...] = ("polling", "websocket")
    revisions: tuple[Literal[3, 4], ...] = (
        3,
        4,
    )  # of Engine.IO: 3 is Socket.IO 2, 4 is 3 and later
    revision_required: bool = False  # true: who does not say EIO is refused; else that means 3
    ping_interval: Duration = Duration(20)  # pingInterval
    ping_timeout: Duration = Duration(10)  # pingTimeout
    upgrade_timeout: Duration = Duration(10)  # from the new WebSocket to the end of the upgrade
    max_payload: Size = Size(
        1_000_000
    )  # of one message or post: maxHttpBufferSize; engine.io 3: 1e8
    packets_per_second: Count = (
        1000  # of one client, and packets of one post; above it, it is closed
    )
    origins: tuple[str, ...] = (
        "*",
    )  # pages that may connect, with credentials, beside own host and loopback; "*" = any
    hosts: tuple[
        str, ...
    ] = ()  # while auth.mode is "off": names beside loopback that may be called
    cookie: str = "io"  # for balancers, with the sid; empty: none
    same_site: Literal["strict", "lax", "none"] = "strict"  # of the cookie; none needs TLS
    http_connections: Count = 10_000  # that ask or are idle; others wait to be accepted
    handshake_timeout: Duration = Duration(5)  # of a request's head
    body_timeout: Duration = Duration(30)  # of a post, from its head to its end
    bodies: Size = Size(256 * 1024**2)  # of all posts under way; what does not fit is refused
    idle_timeout: Duration = Duration(5)  # of a connection between two requests: Node's

    def __post_init__(self) -> None:
        if not (self.ping_interval and self.ping_timeout and self.upgrade_timeout):
            raise ValueError("ping_interval, ping_timeout, upgrade_timeout: expected > 0")
        if not (self.transports and self.revisions):
            raise ValueError("transports, revisions: expected at least one")
        if self.bodies < self.max_payload:
            raise ValueError("bodies: expected at least `max_payload`")


class AcksConfig(Section, frozen=True):
    """[comet.mpush.acks]. What devices have acknowledged, written behind."""

    gather: Duration = Duration(0.2)  # in which acknowledgements become one batch
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 500  # devices of one batch
    backlog: Count = (
        200_000  # ids that are kept while the database is away; what is above is forgotten
    )
    max_pause: Duration = Duration(30)  # between two tries while it is away


class MpushConfig(ListenerConfig, frozen=True):
    """[comet.mpush]. Devices of Mpush, the seed version and 2.2, on one port; their token is in [mpush]."""

    port: Port = 2245  # WS_PORT
    origins: tuple[str, ...] = (
        "*",
    )  # pages that may connect beside loopback; "*" = any, as there, who have a token of your own
    hosts: tuple[
        str, ...
    ] = ()  # while auth.mode is "off": names beside loopback that may be called
    proxies: tuple[str, ...] = (
        "127.0.0.0/8",
        "::1",
    )  # networks of proxies whose X-Forwarded-For says whose wrong tokens they are
    logins: Share = 20  # of one device in `logins_window`, then at that pace; 0 = any number
    logins_window: Duration = Duration(20)
    max_message: Size = Size(64 * 1024)  # that a device may say at once; the original's: 100 MiB
    handshake_timeout: Duration = Duration(5)  # of the request
    auth_timeout: Duration = Duration(30)  # for the token, and again for the device; authTimeout
    ping_interval: Duration = Duration(
        120
    )  # of silence, then it is pinged; the original never does
    silence: Duration = Duration(
        330
    )  # after which a device is gone; nginx lets it be silent for 300
    window: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1000  # messages sent, not acknowledged
    frame: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100  # messages of one frame
    resend_after: Duration = Duration(2)  # the last transmission; doubles; retryTimeout
    resend_longest: Duration = Duration(60)  # between two transmissions
    backlog: Count = 100  # texts of a device that wait while it logs in
    reply_timeout: Duration = Duration(5)  # for MESSAGE_REPLY: waitTimeout
    pushes_at_once: Count = 16  # MESSAGEs of one device
    ack_memory: Duration = Duration(10)  # in which an acknowledgement is known to who asks late
    waiting: Count = 100_000  # messages whose acknowledgement somebody waits for
    acks: AcksConfig = AcksConfig()

    def __post_init__(self) -> None:
        if not 0 < self.ping_interval < self.silence:
            raise ValueError("ping_interval: expected > 0 and below `silence`")
        if not 0 < self.resend_after <= self.resend_longest:
            raise ValueError("resend_after: expected > 0 and at most `resend_longest`")
        if not (self.auth_timeout and self.logins_window):
            raise ValueError("auth_timeout, logins_window: expected > 0")


class LiveConfig(Section, frozen=True):
    """[comet.live]. What a subscribed connection may and must do."""

    heartbeat_min: Duration = Duration(30)  # that a client may promise: minHearbeatSec
    heartbeat_max: Duration = Duration(86400)  # a longer promise counts as this; no bound there
    heartbeat_grace: Duration = Duration(5)  # added to the promise: delayHeartbeatSec
    ring_timeout: Duration = Duration(2)  # for a first comet to be ready; then clients get -n
    proof_timeout: Duration = Duration(1)  # to ask whose a token is; then its signature has to do
    goodbye_timeout: Duration = Duration(1)  # for the last words, and for the client's end
    outbox_limit: Size = Size(1024**2)  # that a slow client may owe; original: 30 messages
    send_buffer: Size = Size(0)  # SO_SNDBUF; 0: the kernel's choice; sndbuf.size is 2048
    receive_buffer: Size = Size(0)  # SO_RCVBUF; 0: the kernel's choice; rcvbuf.size is 256


class LimitsConfig(Section, frozen=True):
    """[comet.limits]. What is above is refused and counted."""

    connections: Count = 100_000  # that are subscribed or about to be
    per_key: Count = 64  # channel:maxsubscriber
    sessions_per_user: Count = 64  # on this comet; each gets a copy of every message
    per_address: Count = 20_000  # many phones share one address of their operator
    handshakes_per_second: Count = 10_000
    handshakes_at_once: Count = 2_000  # connections of a listener that have not subscribed yet


class PushConfig(Section, frozen=True):
    """[comet.push]. The way of a message to the store."""

    save_timeout: Duration = Duration(5)  # then the caller hears that the outcome is unknown
    queue_limit: Size = Size(64 * 1024**2)  # that may wait for the store; more is refused
    batch_limit: Size = Size(4 * 1024**2)  # of one save; below the RPC frame's limit


class ReplayConfig(Section, frozen=True):
    """[comet.replay]. Reading what a client missed."""

    page: Count = 200  # messages of one read
    at_once: Count = 64  # clients that are replayed at the same time; others wait
    stall_timeout: Duration = Duration(30)  # for a client that does not read
    fetch_timeout: Duration = Duration(5)  # for one read of the store
    position_check: Duration = Duration(1)  # between two comparisons with the store; 0: never


class ClusterConfig(Section, frozen=True):
    """[comet.cluster]. Living with other comets."""

    wrong_node: Literal["attach", "refuse"] = (
        "attach"  # a legacy client of a key that another comet owns: serve it, or send -n
    )
    move_rate: Count = 500  # clients a second that are sent to the new owner of their key
    move_legacy: bool = True  # false: those that cannot be told where to go stay, attached
    skew: Duration = Duration(2)  # by which the clocks of comets may differ
    lease: Duration = Duration(10)  # a comet that is silent for so long is forgotten by owners
    attach_timeout: Duration = Duration(2)  # a client is welcomed after that, attached or not
    claim_timeout: Duration = Duration(6)  # to ask if a client id is free; then it counts as free
    claim_proof: Duration = Duration(2)  # in which who has it must show life; else it is free
    relayed: Count = 20_000  # polls and WebSockets at once whose sessions other comets have
    attached_keys: Count = 1_000_000  # of ours that other comets may hold; what is above is refused
    forward_queue: Size = Size(16 * 1024**2)  # that may wait for one comet; above it, it is dropped
    drain_timeout: Duration = Duration(60)  # to move everybody when an operator drains this node
    join_timeout: Duration = Duration(10)  # to reach the store before this comet takes keys

    def __post_init__(self) -> None:
        if self.claim_timeout < 2 * self.claim_proof:
            raise ValueError("claim_timeout: expected at least twice `claim_proof`")


class SessionsConfig(Section, frozen=True):
    """[comet.sessions]. Who is there, written to the database behind the connections."""

    gather: Duration = Duration(0.2)  # in which what comes and goes becomes one batch
    batch: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500  # sessions of one statement
    backlog: Count = 100_000  # news that are kept while the database is away; then all is compared
    max_pause: Duration = Duration(30)  # between two tries while it is away
    check: Duration = Duration(60)  # between two comparisons of what is here and what is written
    grace: Duration = Duration(10)  # after which the sessions of a comet that is gone are released

    def __post_init__(self) -> None:
        if self.backlog < self.batch:
            raise ValueError("backlog: expected at least `batch`")
        if not (self.check and self.grace):
            raise ValueError("check, grace: expected > 0")


class CallbacksConfig(Section, frozen=True):
    """[comet.lightpush.callbacks]. Calls to the back ends of namespaces."""

    timeout: Duration = Duration(5)  # of one call; the original waits for ever
    at_once: Count = 64  # clients of one namespace whose back end is asked; others wait in the time
    told_at_once: Count = 4  # calls to one namespace that tell who has gone
    tries: Count = 6  # of telling that a client has gone; the original's: 1
    max_pause: Duration = Duration(30)  # between two of them
    backlog: Count = 20_000  # calls that tell and wait; what is above is dropped
    backlog_per_namespace: Count = 5_000
    outbound: OutboundLimits = OutboundLimits(max_connections=256, timeout=Duration(5))

    def __post_init__(self) -> None:
        if not self.timeout:
            raise ValueError("timeout: expected > 0")


class RollConfig(Section, frozen=True):
    """[comet.lightpush.roll]. Who is here, written behind the connections."""

    gather: Duration = Duration(0.2)  # in which what happens becomes one batch
    batch: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 1000  # clients of one batch
    backlog: Count = 100_000  # clients whose news are kept while a store is away
    max_pause: Duration = Duration(30)  # between two tries while it is away
    settle_timeout: Duration = Duration(2)  # for a client that asks about itself, to be written
    check: Duration = Duration(60)  # between two comparisons of what is here and what is written
    grace: Duration = Duration(10)  # after which clients of a comet that is gone are released

    def __post_init__(self) -> None:
        if self.backlog < self.batch:
            raise ValueError("backlog: expected at least `batch`")
        if not (self.check and self.grace):
            raise ValueError("check, grace: expected > 0")


class ReceiptsConfig(Section, frozen=True):
    """[comet.lightpush.receipts]. Acknowledgements and written frames, written behind."""

    gather: Duration = Duration(0.2)  # in which they become one batch
    batch: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 1000  # acknowledgements of one batch
    backlog: Count = 200_000  # that are kept while the store is away; what is above is dropped
    max_pause: Duration = Duration(30)  # between two tries while it is away


class LightPushConfig(Section, frozen=True):
    """[comet.lightpush]. Namespaces of Socket.IO that are tenants of light-push."""

    enabled: bool = True  # false: such a namespace is not found
    rooms: Count = 1000  # of one client; no limit there
    client_push_interval: Duration = Duration(1)  # between two pushes of one client
    room_activity_broadcast: bool = True  # whether others may hear which rooms a client enters
    namespaces: Count = 10_000  # that are remembered
    lookup_timeout: Duration = Duration(2)  # for a namespace; then what was last known counts
    roll: RollConfig = RollConfig()
    receipts: ReceiptsConfig = ReceiptsConfig()
    callbacks: CallbacksConfig = CallbacksConfig()


class NamespacesConfig(Section, frozen=True):
    """[comet.namespaces]. What clients of Socket.IO may do, and the namespace of the native keys."""

    native: Annotated[str, msgspec.Meta(pattern="^$|^/.")] = (
        "/appmsg"  # where clients join keys with tickets; empty: nowhere
    )
    keys: Count = 100  # that one client may join there
    per_connection: Count = 16  # namespaces at once
    connect_timeout: Duration = Duration(45)  # to a first namespace: socket.io's connectTimeout
    events: Count = 200  # packets a second of one connection
    backlog: Count = 100  # events of a client that wait for an earlier one
    pending_acks: Count = 1000  # events of ours that a client has not acknowledged
    attachments: Count = 10  # binary ones of a packet, as socket.io's parser has it
    packet: Size = Size(1_000_000)  # text and attachments together

    def __post_init__(self) -> None:
        if not self.connect_timeout:
            raise ValueError("connect_timeout: expected > 0")


class StatConfig(Section, frozen=True):
    """[comet.stat]. /stat, /metrics, /healthz, /readyz."""

    host: str = "127.0.0.1"
    port: Port = 6972  # stat.bind


class RpcListenerConfig(Section, frozen=True):
    """[comet.rpc]. Where web nodes and other comets call; not opened in an all-in-one node."""

    host: str = "127.0.0.1"
    port: Port = 6970  # rpc.bind
    advertise: str = ""  # host:port that other nodes dial; empty: the address it is bound to


class CometConfig(Section, frozen=True):
    """[comet]. The node that holds the connections."""

    weight: Weight = 1  # share of the keys: zookeeper:comet.weight
    workers: Workers = (
        1  # processes, each a node of the ring; their own ports are 10, 20, ... higher
    )
    restart: RestartConfig = RestartConfig()
    websocket: WebSocketConfig = WebSocketConfig()
    tcp: TcpConfig = TcpConfig()
    socketio: SocketioConfig = SocketioConfig()
    mpush: MpushConfig = MpushConfig()
    live: LiveConfig = LiveConfig()
    limits: LimitsConfig = LimitsConfig()
    push: PushConfig = PushConfig()
    replay: ReplayConfig = ReplayConfig()
    cluster: ClusterConfig = ClusterConfig()
    sessions: SessionsConfig = SessionsConfig()
    namespaces: NamespacesConfig = NamespacesConfig()
    lightpush: LightPushConfig = LightPushConfig()
    stat: StatConfig = StatConfig()
    rpc: RpcListenerConfig = RpcListenerConfig()
