r"""The ways of Mpush to browsers and phones: Web Push and FCM.

    Web Push    payload: the MESSAGE as on the socket, {"sendType":...,"message":{...},"mid":"155..."}
                Urgency: high, TTL: until it expires, Topic: its mid, so one that is sent twice is shown once
    FCM         {"token":T,"data":{"mid":"155...","message":"{\"sendType\":...}"},"android":{"priority":"HIGH","ttl":"3600s"}}

FCM takes texts only, and no field that is called "from" (HTTP v1): so the MESSAGE is one text, and `mid` stands beside it
for who sorts out what came twice. There is no `notification` in it: the app shows it, as the original's does.

Source: spec/mpush.md 11.8; RFC 8030; Firebase, "About FCM messages".
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import trio

from appmodel.core.mpush_keys import MpushKeys
from appmodel.core.mpush_stores import Receiver, ReceiverKind
from appmodel.core.subscriptions import read_subscription
from appmodel.errors import BadInput, ConfigError, PushError
from appmodel.io.outbound import Outbound
from appmodel.runtime.config import MpushFcmConfig
from appmodel.runtime.settings import Settings
from web.config import WebConfig
from web.core.mpush_copies import Copy
from web.core.mpush_fitting import fit, fit_quoted
from web.core.notifications import MAX_FCM, MAX_WEBPUSH, seconds_left
from web.gateways.credentials import ServiceAccount, VapidKey, parse_credential
from web.gateways.fcm import FcmGateway
from web.gateways.interface import Kind, Receipt
from web.gateways.mpush_way import Way
from web.gateways.opening import authorities
from web.gateways.webpush import WebPushGateway

MAX_FILE = 64 * 1024  # characters of a service account
ROOM_FCM = MAX_FCM - 50  # bytes: beside the message there are names and a mid


class _Keys(msgspec.Struct):
    p256dh: str
    auth: str


class WebPushWay:
    """To browsers, with the pair of this installation."""

    def __init__(
        self, keys: MpushKeys, contact: str, make_outbound: Callable[[], Outbound]
    ) -> None:
        """
        Args:
            contact: whom push services may ask: "mailto:..." or "https://...".
            make_outbound: for what is called; it is made when there is somebody to call.
        """
        self._keys, self._contact, self._make_outbound = keys, contact, make_outbound
        self._gateway: WebPushGateway | None = None

    async def bring(self, receiver: Receiver, copy: Copy) -> Receipt:
        """See Way."""
        try:
            keys = msgspec.json.decode((receiver.secrets or "").encode(), type=_Keys)
            subscription = read_subscription(receiver.address, keys.p256dh, keys.auth)
        except (msgspec.DecodeError, BadInput):
            return Receipt(Kind.GONE, "no subscription")
        try:
            gateway = self._gateway or await self._open()
        except PushError as error:  # the database is away
            return Receipt(Kind.RETRY, str(error))
        return await gateway.post(
            subscription,
            fit(copy.message, MAX_WEBPUSH),
            topic=copy.mid,
            expires_at=copy.expires_at,
            is_urgent=True,
        )

    async def aclose(self) -> None:
        """Let go of its connections."""
        if self._gateway is not None:
            await self._gateway.aclose()

    async def _open(self) -> WebPushGateway:
        key = VapidKey(self._contact, await self._keys.vapid())
        if self._gateway is None:
            self._gateway = WebPushGateway(key, self._make_outbound())
        return self._gateway


class FcmWay:
    """To apps, by one Firebase project."""

    def __init__(
        self,
        account: ServiceAccount,
        make_outbound: Callable[[], Outbound],
        url: str,
        *,
        patience: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """See FcmGateway. `make_outbound`: as of WebPushWay."""
        self._account, self._make_outbound, self._url = account, make_outbound, url
        self._patience, self._now = patience, now
        self._gateway: FcmGateway | None = None

    async def bring(self, receiver: Receiver, copy: Copy) -> Receipt:
        """See Way."""
        if self._gateway is None:
            self._gateway = FcmGateway(
                self._account,
                self._make_outbound(),
                self._url,
                patience=self._patience,
                now=self._now,
            )
        ttl = seconds_left(copy.expires_at, self._now())
        data = {"mid": copy.mid, "message": fit_quoted(copy.message, ROOM_FCM)}
        android = {"priority": "HIGH", "ttl": f"{ttl}s"}
        return await self._gateway.post(
            {"token": receiver.address, "data": data, "android": android}
        )

    async def aclose(self) -> None:
        """Let go of its connections."""
        if self._gateway is not None:
            await self._gateway.aclose()


@asynccontextmanager
async def open_mpush_ways(
    settings: Settings, keys: MpushKeys
) -> AsyncIterator[Mapping[ReceiverKind, Way]]:
    """Those that the configuration names, until the block ends. Nothing is connected to before it is needed.

    Raises:
        ConfigError: the service account, or the authorities to trust, cannot be read.
    """
    config, mpush = settings.section(WebConfig).notifications, settings.mpush
    tls = authorities(config) if config.outbound.ca_file else None  # else read when needed: 50 ms
    ways: dict[ReceiverKind, WebPushWay | FcmWay] = {}

    def outbound(*allowed: str) -> Outbound:
        allowed += config.outbound.allowed
        limits = msgspec.structs.replace(config.outbound, allowed=allowed)
        return Outbound(limits, tls=tls)

    if mpush.webpush.enabled:
        to_browsers = partial(outbound, *mpush.webpush.allowed)
        ways[ReceiverKind.WEBPUSH] = WebPushWay(keys, mpush.webpush.contact, to_browsers)
    if mpush.fcm.project_id:
        account = await trio.to_thread.run_sync(read_account, mpush.fcm)
        ways[ReceiverKind.FCM] = FcmWay(
            account, outbound, config.fcm_url, patience=config.outbound.timeout
        )
    try:
        yield ways
    finally:
        with trio.CancelScope(shield=True):
            for way in ways.values():
                await way.aclose()


def read_account(config: MpushFcmConfig) -> ServiceAccount:
    """Who sends by FCM. Raises ConfigError, which shows no secret."""
    setting, expected = "mpush.fcm.credential_file", "the JSON file of a Google service account"
    try:
        with Path(config.credential_file).open(encoding="utf-8") as file:
            content = file.read(MAX_FILE)
        account = parse_credential(
            "fcm",
            "service_account",
            topic=config.project_id,
            environment="production",
            content=content,
        )
    except (OSError, ValueError, BadInput) as error:
        raise ConfigError(setting, config.credential_file, f"{expected} ({error})") from None
    assert isinstance(account, ServiceAccount)
    return account
