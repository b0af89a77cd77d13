"""Rules that echo, for the official suite of Socket.IO and for others' clients.

    connect                       -> 10 ms later "auth" with what was asked; /secret wants the token 123
    "message" a b c               -> "message-back" a b c
    "message-with-ack" a b c      -> its acknowledgement: a b c
    "ask" a b c                   -> "question" a b c; what the client acknowledges -> "answered"
    "leave"                       -> the namespace is closed

The 10 ms are for the suite: it begins to wait for "auth" when it has seen the connect, and misses what came
in the same segment.

Source: docs/socket.io-protocol/v5-test-suite of github.com/socketio/socket.io wants the first three.
"""

from collections.abc import Sequence
from typing import Any

import trio

from comet.core.rule_table import RuleTable
from comet.core.rules import (
    Accept,
    Answer,
    Client,
    Dismiss,
    Effects,
    Emit,
    Event,
    Refused,
)

NAMESPACES = ("/", "/custom", "/secret")
GREETING = 0.01  # seconds


class EchoRules:
    """See the module."""

    def __init__(self, nursery: trio.Nursery) -> None:
        """`nursery`: for greetings."""
        self._nursery = nursery

    async def connect(self, client: Client, asked: Any) -> Effects:
        """See `Rules.connect`."""
        if client.namespace == "/secret" and asked.get("token") != "123":
            raise Refused("token missing", {"field": "token"})
        self._nursery.start_soon(self._greet, client, asked)
        return (Accept(),)

    def event(self, client: Client, event: Event) -> Effects:
        """See `Rules.event`."""
        arguments = tuple(event.arguments)
        match event.name:
            case "message":
                return (Emit("message-back", arguments),)
            case "message-with-ack":
                return (Answer(arguments),)
            case "ask":
                return (Emit("question", arguments, _tell),)
            case "leave":
                return (Dismiss("asked for"),)
            case _:
                return ()

    def gone(self, client: Client, reason: str) -> Effects:
        """See `Rules.gone`."""
        return ()

    async def _greet(self, client: Client, asked: Any) -> None:
        await trio.sleep(GREETING)
        client.do((Emit("auth", (asked,)),))


def serve_echo(table: RuleTable, nursery: trio.Nursery) -> None:
    """Put them into the table of a comet."""
    rules = EchoRules(nursery)
    for namespace in NAMESPACES:
        table.serve(namespace, rules)


def _tell(values: Sequence[Any]) -> Effects:
    return (Emit("answered", tuple(values)),)
