"""Several comets on one machine: which listeners their supervisor opens for them, and for whom."""

from appmodel.runtime.crew import Crew, Listener, Use
from appmodel.runtime.settings import Settings
from comet.config import CometConfig


def crew(settings: Settings) -> Crew:
    """The workers of [comet]."""
    config, node = settings.section(CometConfig), settings.node
    websocket, tcp, rpc, stat = config.websocket, config.tcp, config.rpc, config.stat
    listeners = []
    if websocket.enabled:
        url = "wss://{}/sub" if websocket.tls.certificate else "ws://{}/sub"
        where = (websocket.host, websocket.port, websocket.advertise)
        listeners.append(Listener("comet.websocket", Use.CLIENTS, *where, url))
    if tcp.enabled:
        url = "tls://{}" if tcp.tls.certificate else "tcp://{}"
        where = (tcp.host, tcp.port, tcp.advertise)
        listeners.append(Listener("comet.tcp", Use.CLIENTS, *where, url))
    socketio, mpush = config.socketio, config.mpush
    if socketio.enabled:
        url = f"{'https' if socketio.tls.certificate else 'http'}://{{}}{socketio.path}"
        where = (socketio.host, socketio.port, socketio.advertise)
        listeners.append(Listener("comet.socketio", Use.CLIENTS, *where, url))
    if mpush.enabled:
        url = "wss://{}/" if mpush.tls.certificate else "ws://{}/"
        where = (mpush.host, mpush.port, mpush.advertise)
        listeners.append(Listener("comet.mpush", Use.CLIENTS, *where, url))
    return Crew(
        part="comet",
        node=node.name,
        workers=config.workers,
        listeners=(
            *listeners,
            Listener("comet.stat", Use.OPERATORS, stat.host, stat.port),
            Listener("comet.rpc", Use.NODES, rpc.host, rpc.port, rpc.advertise),
        ),
        restart=config.restart,
        start_timeout=2 * node.start_timeout,  # of the registry, then of the part
        drain_timeout=node.drain_timeout,
    )
