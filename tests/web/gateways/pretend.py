"""Gateways and devices for tests of what lies above them: they do as they are told."""

from collections import deque
from collections.abc import Callable

import trio

from web.core.notifications import Device, Notification, Provider
from web.gateways.interface import DELIVERED, Receipt


class PretendGateway:
    """Gives out the receipts that it was given, then delivers."""

    provider: Provider = "apns"

    def __init__(self, *receipts: Receipt | Exception) -> None:
        self.receipts = deque(receipts)
        self.sent: list[tuple[str, int]] = []  # token and message id
        self.badges: list[int | None] = []
        self.closed = False
        self.gate: trio.Event | None = None  # who sends waits for it
        self.waiting = 0
        self.most = 0  # that waited at once
        self.judge: Callable[[Device], Receipt] | None = None

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        await trio.lowlevel.checkpoint()
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.waiting -= 1
        self.sent.append((device.token, notification.message_id))
        self.badges.append(badge)
        receipt = self.receipts.popleft() if self.receipts else DELIVERED
        if isinstance(receipt, Exception):
            raise receipt
        return self.judge(device) if self.judge is not None else receipt

    async def aclose(self) -> None:
        self.closed = True


def device(number: int = 1, provider: Provider = "apns", user_id: str = "u1") -> Device:
    """Somebody's."""
    return Device(
        provider=provider,
        token=f"token{number}",
        user_id=user_id,
        device_id=f"d{number}",
        registered_at=100.0,
    )


def notification(message_id: int = 7, expires_at: float = 0.0) -> Notification:
    """Ann says hi."""
    return Notification(
        message_id=message_id, user_id="u1", title="Ann", text="hi", expires_at=expires_at
    )
