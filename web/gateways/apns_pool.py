"""The connections of one credential to Apple: opened when needed, closed when idle. Asyncio inside.

aioapns's pool, without its loops: it looks for a free connection every 10 ms and tries each request five times,
a second apart, while others wait.

Source: aioapns/connection.py, APNsBaseConnectionPool.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aioapns.common import NotificationRequest
from aioapns.connection import APNsBaseClientProtocol, APNsBaseConnectionPool

from web.gateways.apns_connection import ApnsConnection, ApnsResult
from web.gateways.apns_token import SharedToken


class ApnsPool(APNsBaseConnectionPool):
    """The connections of one credential: opened when needed, closed when idle."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        tls: ssl.SSLContext,
        token: SharedToken | None,
        resolve: Callable[[], Awaitable[Sequence[str]]],
        *,
        max_connections: int,
        idle_timeout: float,
    ) -> None:
        """Inside of asyncio.

        Args:
            token: None: the certificate in `tls` says who we are.
            resolve: the addresses of `host`. asyncio's own way of asking cannot be cancelled here.
        """
        super().__init__(topic, max_connections)
        tls.set_alpn_protocols(["h2"])
        self._host, self._port, self._tls = host, port, tls
        self._resolve = resolve
        self._make = partial(
            ApnsConnection, topic, host, token, self.discard_connection, idle_timeout=idle_timeout
        )

    async def send_notification(self, request: NotificationRequest) -> ApnsResult:
        """Apple's answer. Nothing is tried again here: the lane does that, and lets others go first.

        Raises:
            ConnectionClosed: the connection ended before the answer.
            OSError: there is no connection to Apple.
        """
        connection = await self.acquire()
        return await connection.send_notification(request)

    async def acquire(self) -> ApnsConnection:
        """A connection with a free channel, else a new one, else the one where the fewest wait."""
        free = self._free()
        if free is not None:
            return free
        async with self._lock:
            free = self._free()
            if free is not None:
                return free
            if len(self.connections) < self.max_connections:
                return await self.create_connection()
        return min(self._all(), key=lambda connection: connection.channels.load)

    async def create_connection(self) -> ApnsConnection:
        failure = OSError(f"{self._host} has no address")
        for address in await self._resolve():
            try:
                return await self._connect(address)
            except OSError as error:
                failure = error
        raise failure

    async def _connect(self, address: str) -> ApnsConnection:
        _, connection = await self.loop.create_connection(
            self._make, address, self._port, ssl=self._tls, server_hostname=self._host
        )
        try:
            await connection.ready
        except asyncio.CancelledError:
            connection.end("given up")
            raise
        self.connections.append(connection)
        return connection

    def discard_connection(self, connection: APNsBaseClientProtocol) -> None:
        if connection in self.connections:
            self.connections.remove(connection)

    def close(self) -> None:
        for connection in self._all():
            connection.end("closed")

    def _free(self) -> ApnsConnection | None:
        return next((each for each in self._all() if not each.is_busy), None)

    def _all(self) -> list[ApnsConnection]:
        return [each for each in self.connections if isinstance(each, ApnsConnection)]
