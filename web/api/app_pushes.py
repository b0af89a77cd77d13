"""Pushes of the application REST: by devices, web pages and applications.

    POST /app/client/device/push      {"baseRequest":{...},"sessions":["all"],"msg":{"fromUserName","toUserName",...}}
                                      {"baseResponse":{...},"msgID":"msgid","clientMsgId":...,"mid":17...}
    any  /app/client/appweb/push      the same as a form: msg[toUserName]=...; JSONP
    POST /app/client/app/user/push    {"baseRequest":{...},"content","msgType","statusId","objectContent","toUserNames"}
                                      {"baseResponse":{...},"mlist":[{"mid":17...,"key":"u1@user"},...]}

Source: appmsgsrv app/push.go; spec/appmsgsrv.md 8.2 to 8.4. Differences: who sends is who proved it: another
fromUserName or objectContent.appId is 65533 (W7); `ret` tells of the first failure, not of the last key (C2);
`mlist` names each key once; msgType of an application may be a text of digits, as the guide writes it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from appmodel.core.names import MAX_KEY, Key
from appmodel.core.origins import Origins
from appmodel.errors import BadInput, Forbidden, LoginRefused, TooLarge, TooManyNames
from appmodel.protocol.http import Request, Response, Route
from web.api.app_frame import ANY_METHOD, Answer, AppFrame, BaseRequest, Body, Call
from web.api.browser_forms import answer_page, fields_of, required
from web.core.decoding import decode
from web.core.orders import MAX_TTL
from web.core.principals import AppCaller, Authenticating, UserCaller
from web.core.quota import PHONES, Consumer
from web.core.selectors import parse_sessions
from web.core.targets import Kind, parse_target
from web.services.messaging import Circular, Letter, Messaging, Sent

MSG_ID = "msgid"  # a constant, in the original too
MAX_NAMES = 1000  # of toUserNames

Expire = Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL)]  # seconds


class Message(msgspec.Struct, rename="camel"):
    """`msg` of a device: what is looked at. All other members are passed on as they are."""

    from_user_name: str
    to_user_name: str
    content: str | UnsetType = UNSET
    msg_type: int | float | str | None = None
    object_content: dict[str, Any] | None = None
    custom_filelds: dict[str, Any] | None = None
    expire: Expire | None = None


class DevicePush(Body):
    """The body of device/push."""

    msg: dict[str, Any]
    sessions: list[str] | None = None


class ObjectContent(msgspec.Struct, rename="camel"):
    """`objectContent` of an application: what is looked at."""

    app_id: str


class AppPush(Body):
    """The body of app/user/push."""

    content: str
    msg_type: int | float | str
    status_id: str
    object_content: dict[str, Any]
    to_user_names: list[str]
    sessions: list[str] | None = None
    expire: Expire | None = None


class CallQuotas(Protocol):
    """Quotas of calls: `Quotas`."""

    async def take_call(self, consumer: Consumer, api_name: str) -> None:
        """Raises CallQuota if there are none left."""


class AppPushes:
    """The handlers."""

    def __init__(
        self,
        messaging: Messaging,
        authenticating: Authenticating,
        quotas: CallQuotas,
        origins: Origins,
        *,
        expire: float,
        max_message: int,
    ) -> None:
        """
        Args:
            expire: seconds that a message is kept if it does not say.
            max_message: bytes of a message as JSON.
        """
        self._messaging, self._authenticating = messaging, authenticating
        self._quotas, self._origins = quotas, origins
        self._expire, self._max_message = expire, max_message

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        frame.user("/app/client/device/push", DevicePush, self.push_from_device, counted=True)
        frame.application("/app/client/app/user/push", AppPush, self.push_from_application)
        for method in ANY_METHOD:
            path = "/app/client/appweb/push"
            frame.add(Route(method=method, path=path, handler=self.push_from_page))

    async def push_from_device(self, call: Call[DevicePush, UserCaller]) -> Answer:
        """15"""
        body, base = call.body, call.body.base_request
        if base.device_type.lower() not in PHONES:
            expected = "ios or android; web pages use /app/client/appweb/push"
            raise LoginRefused(f"baseRequest.deviceType: {base.device_type!r}, expected {expected}")
        consumer = Consumer.of_user(call.caller, base.device_type)
        await self._quotas.take_call(consumer, call.request.path)
        letter = self._letter(call.caller, body.msg, body.sessions, base)
        sent = await self._messaging.send_letter(letter)
        return _sent(sent, body.msg.get("clientMsgId"))

    async def push_from_page(self, request: Request) -> Response:
        """13"""
        return await answer_page(request, self._origins, self._push_from_page)

    async def push_from_application(self, call: Call[AppPush, AppCaller]) -> Answer:
        """43"""
        body, caller = call.body, call.caller
        names = body.to_user_names
        if len(names) > MAX_NAMES:
            raise TooManyNames(f"toUserNames: {len(names)} names, at most {MAX_NAMES} in one call")
        if not names:
            raise BadInput("toUserNames", names, "at least one name")
        targets = [parse_target(name, f"toUserNames[{n}]") for n, name in enumerate(names)]
        app_id = _convert(body.object_content, ObjectContent, "objectContent").app_id
        if app_id != caller.id:
            raise Forbidden("objectContent.appId: not the application that the token is of")
        members = {
            "content": body.content,
            "msgType": body.msg_type,
            "statusId": body.status_id,
            "objectContent": body.object_content,
            "fromUserName": f"{caller.id}@app",
            "fromDisplayName": caller.name,
        }
        self._check_size(members)
        ttl = self._expire if body.expire is None else body.expire
        selector = parse_sessions(body.sessions)
        sent = await self._messaging.send_circular(
            Circular(caller, targets, members, selector, ttl)
        )
        return Answer({"mlist": _mlist(sent)}, error=sent.error)

    async def _push_from_page(self, request: Request) -> Answer:
        fields = fields_of(request)
        caller = await self._authenticating.user(fields.get("baseRequest[token]", ""))
        msg: dict[str, Any] = {
            "fromUserName": required(fields, "msg[fromUserName]"),
            "toUserName": required(fields, "msg[toUserName]"),
            "msgType": _integer(fields, "msg[msgType]"),
            "content": required(fields, "msg[content]"),
            "clientMsgId": fields.get("msg[clientMsgId]", ""),
        }
        if fields.get("msg[expire]"):
            msg["expire"] = _integer(fields, "msg[expire]")
        sessions = [one for one in fields.get("sessions", "").split(",") if one] or None
        base = BaseRequest(device_id=fields.get("baseRequest[deviceID]", ""), device_type="app")
        sent = await self._messaging.send_letter(self._letter(caller, msg, sessions, base))
        return _sent(sent, msg["clientMsgId"])

    def _letter(
        self,
        caller: UserCaller,
        msg: dict[str, Any],
        sessions: Sequence[str] | None,
        base: BaseRequest,
    ) -> Letter:
        message = _convert(msg, Message, "msg")
        if message.from_user_name != f"{caller.uid}@user":
            raise Forbidden("msg.fromUserName: not the user that the token is of")
        target = parse_target(message.to_user_name, "msg.toUserName")
        if len(base.device_id) > MAX_KEY:
            raise BadInput("baseRequest.deviceID", base.device_id, f"at most {MAX_KEY} characters")
        if message.content is UNSET and target.kind is not Kind.APP:
            raise BadInput("msg.content", None, "a text")
        self._check_size(msg)
        return Letter(
            caller,
            base.device_id,
            base.device_type.lower(),
            target,
            msg,
            parse_sessions(sessions),
            self._expire if message.expire is None else message.expire,
        )

    def _check_size(self, members: dict[str, Any]) -> None:
        if len(msgspec.json.encode(members)) > self._max_message:
            raise TooLarge(f"msg: over {self._max_message} bytes")


def _sent(sent: Sent, client_msg_id: Any) -> Answer:
    members = {"msgID": MSG_ID, "clientMsgId": client_msg_id, "mid": sent.last_id}
    return Answer(members, error=sent.error)


def _mlist(sent: Sent) -> list[dict[str, Any]]:
    """In push order; mid 0 where it failed."""

    def entry(inbox: Key, key: Key) -> dict[str, Any]:
        return {"mid": sent.ids.get(inbox, 0), "key": str(key)}

    return [entry(inbox, key) for inbox, key in sent.plan.entries]


def _convert(members: dict[str, Any], kind: type[Any], field: str) -> Any:
    """A struct of some members. Raises BadInput with the name of the wrong one below `field`."""
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError:
        raw = msgspec.json.encode(members)
        try:
            decode(msgspec.json.Decoder(kind), raw)
        except BadInput as error:
            place = field if error.field in {None, "body"} else f"{field}.{error.field}"
            raise BadInput(place, error.value, error.expected) from None
        raise


def _integer(fields: dict[str, str], name: str) -> int:
    text = required(fields, name)
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise BadInput(name, text, "a whole number")
    return int(text)
