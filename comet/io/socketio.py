"""Socket.IO on one comet, wired together: its door, its sessions, their talks, and requests that go astray.

    door → engine (sessions)  → talks (clients of namespaces) → rules
      └ relay: a request of a session elsewhere goes there; relay_entrance takes those of others

Whoever has rules adds them to `rules` before the first client comes.
"""

from collections.abc import Callable
from functools import partial

from appmodel.core.cluster import ClusterView, Node
from appmodel.core.interfaces import Pusher
from appmodel.core.origins import Origins
from appmodel.io.rpc_server import Tunnels
from comet.config import CometConfig, NamespacesConfig
from comet.core.appmsg_rules import AppmsgRules
from comet.core.relaying import process_tag
from comet.core.rule_table import RuleTable
from comet.io.attachments import Attachments
from comet.io.engine import Engine
from comet.io.engine_door import EngineDoor
from comet.io.entrance import Entrance
from comet.io.gatehouse import CometGatehouse
from comet.io.live import Live
from comet.io.membership import Membership
from comet.io.obeying import Obeying
from comet.io.reception import Reception
from comet.io.relay import Relay
from comet.io.relay_entrance import RelayEntrance
from comet.io.relay_tunnels import PURPOSE, OpenTunnel
from comet.io.replay import Reading
from comet.io.talk import Spawn, TalkLimits, Talks
from comet.protocol.native import GOING_AWAY
from comet.protocol.socketio import Limits as PacketLimits


class SocketIo:
    """What a comet has for clients of Socket.IO, beside the live path that all share."""

    def __init__(
        self,
        *,
        config: CometConfig,
        live: Live,
        me: Callable[[], Node],
        view: Callable[[], ClusterView],
        open_tunnel: OpenTunnel,
        membership: Membership,
        attachments: Attachments,
        reading: Reading,
        reception: Reception,
        pusher: Pusher,
        spawn: Spawn,
        home: bool,
    ) -> None:
        """`home`: nobody is asked for credentials, so only pages of this machine may come."""
        self.rules = RuleTable()
        if config.namespaces.native:
            native = AppmsgRules(CometGatehouse(reception, live), most_keys=config.namespaces.keys)
            self.rules.serve(config.namespaces.native, native)
        entrance = Entrance(
            hub=live.hub, membership=membership, attachments=attachments, reading=reading
        )
        self.talks = Talks(
            hub=live.hub,
            entrance=entrance,
            reading=reading,
            pusher=pusher,
            wheel=live.wheel,
            spawn=spawn,
            find_rules=self.rules,
            limits=_talk_limits(config.namespaces),
        )
        self.obeying = Obeying(
            hub=live.hub, clients_of=self.talks.clients_of, find_rules=self.rules
        )
        self.engine = Engine(
            config=config.socketio,
            live=live,
            open=self.talks.open,
            home=process_tag(me()),
            is_draining=lambda: reception.draining,
        )
        origins = Origins(config.socketio.origins, config.socketio.hosts, home=home)
        self.door = EngineDoor(self.engine, origins=origins)
        self.relay = Relay(
            me=me,
            view=view,
            open_tunnel=open_tunnel,
            live=live,
            bodies=self.engine.bodies,
            max_payload=config.socketio.max_payload,
            patience=config.socketio.ping_interval + config.socketio.ping_timeout,
            limit=config.cluster.relayed,
        )
        self.door.elsewhere = self.relay.elsewhere
        self.relay_entrance = RelayEntrance(EngineDoor(self.engine, origins=origins))

    @property
    def tunnels(self) -> Tunnels:
        """What other comets may send beside calls; `relay_entrance` must be running."""
        return {PURPOSE: self.relay_entrance.take}

    def goodbyes(self) -> list[Callable[[], None]]:
        """What ends each session, politely; no request is relayed any more."""
        self.relay.close()
        sessions = self.engine.sessions.values()
        return [partial(session.close, GOING_AWAY.reason) for session in sessions]


def _talk_limits(config: NamespacesConfig) -> TalkLimits:
    return TalkLimits(
        packet=PacketLimits(size=config.packet, attachments=config.attachments),
        namespaces=config.per_connection,
        events=config.events,
        backlog=config.backlog,
        pending_acks=config.pending_acks,
        connect_timeout=config.connect_timeout,
    )
