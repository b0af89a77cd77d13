"""What systemd is told about this process: it serves, it reloads, it stops.

    READY=1                               units with Type=notify start what comes after this one
    RELOADING=1 MONOTONIC_USEC=<µs>       until the next READY=1
    STOPPING=1

One datagram each to the socket in $NOTIFY_SOCKET; without it nothing happens.

Source: sd_notify(3).
"""

import os
import socket
import time
from collections.abc import Mapping

import structlog

VARIABLE = "NOTIFY_SOCKET"

log = structlog.get_logger(__name__)


def notify_ready(environ: Mapping[str, str] = os.environ) -> None:
    """It serves, for the first time or again."""
    _notify("READY=1", environ)


def notify_reloading(environ: Mapping[str, str] = os.environ) -> None:
    """It takes up new settings; `notify_ready` must follow."""
    _notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", environ)


def notify_stopping(environ: Mapping[str, str] = os.environ) -> None:
    """It has begun to stop."""
    _notify("STOPPING=1", environ)


def _notify(state: str, environ: Mapping[str, str]) -> None:
    address = environ.get(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket: no file
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.setblocking(False)
            telling.connect(address)
            telling.send(state.encode())
    except OSError as error:
        log.warning("systemd was not told", state=state, error=str(error))
