"""Firebase Cloud Messaging, HTTP v1.

    POST /v1/projects/<project>/messages:send    Authorization: Bearer <access token>    {"message":{...}}
    200                        DELIVERED
    404 UNREGISTERED           GONE
    400 INVALID_ARGUMENT       GONE if it names the token, else REFUSED
    403 SENDER_ID_MISMATCH     GONE: a token of another project
    401                        RETRY with a new access token, once; then MISCONFIGURED
    403, 404                   MISCONFIGURED: the project, or what the account may do there
    429, 500, 503              RETRY, after what Retry-After says

    error    {"error":{"code":404,"message":"...","status":"NOT_FOUND",
             "details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}

Source: Firebase, "Migrate to HTTP v1" and "FCM error codes".
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import trio

from appmodel.errors import PushError, Unauthorized
from appmodel.io.outbound import Answer, Outbound
from web.core.notifications import Device, Notification, Provider, fcm_message
from web.gateways.credentials import ServiceAccount
from web.gateways.google_token import GoogleToken
from web.gateways.interface import DELIVERED, Kind, Receipt, retry_after

_DEAD = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})
_TOKEN_FIELD = "message.token"  # noqa: S105  # a field's name

_encode = msgspec.json.Encoder().encode


class _Detail(msgspec.Struct, frozen=True):
    errorCode: str = ""  # noqa: N815  # Google's name
    fieldViolations: list[dict[str, Any]] = []  # noqa: N815


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    details: list[_Detail] = []

    @property
    def code(self) -> str:
        """FCM's own word, else Google's general one."""
        own = next((each.errorCode for each in self.details if each.errorCode), self.status)
        return own if own.isascii() and own.isprintable() and len(own) <= 60 else ""

    @property
    def is_about_token(self) -> bool:
        """Whether the token is what is wrong."""
        fields = [
            violation.get("field") for each in self.details for violation in each.fieldViolations
        ]
        return _TOKEN_FIELD in fields


class _Refusal(msgspec.Struct, frozen=True):
    error: _Error = _Error()


class FcmGateway:
    """One tenant's project at Google."""

    provider: Provider = "fcm"

    def __init__(
        self,
        account: ServiceAccount,
        outbound: Outbound,
        url: str,
        *,
        patience: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            outbound: for this tenant alone; closed with the gateway.
            url: of the service: "https://fcm.googleapis.com".
            patience: seconds for one notification, with all that waits for an access token.
        """
        self._outbound = outbound
        self._patience = patience
        self._now = now
        self._token = GoogleToken(account, outbound, now)
        self._url = f"{url}/v1/projects/{account.project}/messages:send"
        self._refused = False  # FCM did not take the last access token either

    async def send(self, device: Device, notification: Notification, badge: int | None) -> Receipt:
        """See Gateway."""
        return await self.post(fcm_message(notification, badge, device.token, now=self._now()))

    async def post(self, message: Mapping[str, object]) -> Receipt:
        """Hand over a `message` of HTTP v1, whatever is in it."""
        try:
            with trio.fail_after(self._patience):
                token = await self._token.get()
                answer = await self._call(_encode({"message": message}), token)
        except Unauthorized as error:
            return Receipt(Kind.MISCONFIGURED, str(error))
        except PushError as error:
            return Receipt(Kind.RETRY, str(error))
        except trio.TooSlowError:
            return Receipt(Kind.RETRY, "no answer in time")
        return self._judge(answer, token)

    async def aclose(self) -> None:
        """See Gateway."""
        await self._outbound.aclose()

    async def _call(self, content: bytes, token: str) -> Answer:
        headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
        return await self._outbound.call("POST", self._url, headers=headers, content=content)

    def _judge(self, answer: Answer, token: str) -> Receipt:
        if answer.status == 200:
            self._refused = False
            return DELIVERED
        error = _read(answer.body)
        reason = error.code or f"status {answer.status}"
        if error.code in _DEAD or (answer.status == 400 and error.is_about_token):
            return Receipt(Kind.GONE, reason)
        if answer.status == 401:
            return self._judge_unauthorized(reason, token)
        if answer.status in (403, 404):
            return Receipt(Kind.MISCONFIGURED, reason)
        if answer.status == 429 or answer.status >= 500:
            return Receipt(Kind.RETRY, reason, after=retry_after(answer.header("retry-after")))
        return Receipt(Kind.REFUSED, reason)

    def _judge_unauthorized(self, reason: str, token: str) -> Receipt:
        self._token.drop(token)
        first, self._refused = not self._refused, True
        return Receipt(Kind.RETRY if first else Kind.MISCONFIGURED, reason)


def _read(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:  # an error page of something in between
        return _Error()
