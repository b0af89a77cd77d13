"""[comet] and its parts. Defaults that come from gopush-cluster are marked with their place there."""

import msgspec

from appmodel.core.units import Duration, Size


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A listener's certificate; both empty = no TLS."""

    certificate: str = ""  # path of a PEM file with the chain
    key: str = ""  # path of its private key


class ListenerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where clients connect."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str = ""  # host:port that clients are told; empty = the bound address
    tls: TlsConfig = TlsConfig()


class WebSocketConfig(ListenerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.websocket]."""

    port: int = 6968  # websocket.bind
    origins: tuple[str, ...] = ()  # allowed beside the own host and loopback; "*" = any
    max_message: Size = Size(64 * 1024)  # bytes that a client may say at once; original: 32 MiB
    handshake_timeout: Duration = Duration(5)  # ours: the original waits for ever


class TcpConfig(ListenerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.tcp]."""

    port: int = 6969  # tcp.bind
    first_request_timeout: Duration = Duration(5)  # comet/pubsub.go: fitstPacketTimedoutSec


class LiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.live]: what a subscribed connection may and must do."""

    heartbeat_min: Duration = Duration(30)  # comet/pubsub.go: minHearbeatSec
    heartbeat_max: Duration = Duration(86400)  # ours: the original has no bound
    heartbeat_grace: Duration = Duration(5)  # comet/pubsub.go: delayHeartbeatSec
    goodbye_timeout: Duration = Duration(1)  # for the last words, and for the client's end
    outbox_limit: Size = Size(1024 * 1024)  # bytes a slow client may owe; original: 30 messages
    send_buffer: Size = Size(0)  # SO_SNDBUF; 0 = the kernel's; original: channel:sndbuf.size 2048
    receive_buffer: Size = Size(0)  # SO_RCVBUF; 0 = the kernel's; original: channel:rcvbuf.size 256


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.limits]: what is above is refused and counted."""

    connections: int = 100_000  # also bounded by the files that the process may open
    per_key: int = 64  # channel:maxsubscriber
    per_address: int = 20_000  # many phones share one address of their operator
    handshakes_per_second: int = 5_000
    handshakes_at_once: int = 2_000  # connections that have not subscribed yet


class PushConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.push]: the way of a message to the store."""

    save_timeout: Duration = Duration(5)
    queue_limit: Size = Size(64 * 1024 * 1024)  # bytes that may wait for the store
    batch_limit: Size = Size(4 * 1024 * 1024)  # bytes of one save, under the RPC frame's limit


class ReplayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.replay]: reading what a client missed."""

    page: int = 200  # messages a read
    at_once: int = 64  # clients that are replayed at the same time; others wait
    stall_timeout: Duration = Duration(30)  # for a client that does not read
    fetch_timeout: Duration = Duration(5)
    position_check: Duration = Duration(1)  # how often marks are compared; 0 = never


class StatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.stat]: /stat, /metrics, /healthz, /readyz."""

    host: str = "127.0.0.1"
    port: int = 6972  # stat.bind


class RpcConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet.rpc]: where web and other comets call. The all-in-one node needs none."""

    host: str = "127.0.0.1"
    port: int = 6970  # rpc.bind
    advertise: str = ""  # host:port that other nodes dial; empty = the bound address


class CometConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[comet]."""

    weight: int = 1  # zookeeper:comet.weight
    websocket: WebSocketConfig = WebSocketConfig()
    tcp: TcpConfig = TcpConfig()
    live: LiveConfig = LiveConfig()
    limits: LimitsConfig = LimitsConfig()
    push: PushConfig = PushConfig()
    replay: ReplayConfig = ReplayConfig()
    stat: StatConfig = StatConfig()
    rpc: RpcConfig = RpcConfig()
