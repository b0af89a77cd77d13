"""The appmsgsrv client on trio: subscribe to a key, resume after every loss, push.

    async with appmsg_client.subscribe("u1@user", web="http://127.0.0.1:8090") as messages:
        async for message in messages:
            print(message.mid, message.msg)

The protocol is docs/protocol.md, version 2. Nothing of the server is imported here.
"""

from appmsg_client.errors import ClientError, PushFailed, Refused
from appmsg_client.journey import Connected, Disconnected, OnEvent
from appmsg_client.protocol import Message
from appmsg_client.subscription import Subscription, subscribe
from appmsg_client.web import push

__all__ = [
    "ClientError",
    "Connected",
    "Disconnected",
    "Message",
    "OnEvent",
    "PushFailed",
    "Refused",
    "Subscription",
    "push",
    "subscribe",
]
