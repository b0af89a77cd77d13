"""Starred contacts and mutes in the application REST.

    addOrRemoveContact   {"baseRequest":{"uid",...},"uid":"u2","starFriend":1}         1 = star, else = no more
    setShieldMsg         {"baseRequest","sourceId":"u1","targetId":"a1","type":1,"memo":""}
    cancelShieldMsg      {"baseRequest","sourceId":"u1","targetId":"a1","type":1}
    isUserShieldApp      {"baseRequest","sourceId":"u1","targetId":"a1"}               {"isShield":true}

type 0 = a user, 1 = an application, 2 = a group (ours).

Source: appmsgsrv app/contact.go, app/shieldMsg.go; spec/appmsgsrv.md 4.4 (16, 34 to 36). Differences: whose they are
says the token; another `sourceId` is 65533 (W8).
"""

from msgspec import UNSET, UnsetType

from appmodel.core.mutes import ShieldType
from appmodel.errors import BadInput, Forbidden
from web.api.app_frame import Answer, AppFrame, BaseRequest, Body, Call
from web.core.fields import known_id
from web.core.groups import ContactChange, MuteChange
from web.core.principals import UserCaller
from web.services.contacts import Contacts, Mutes

STARRED = 1


class Owner(BaseRequest, kw_only=True):
    """A baseRequest that says a uid. It must be there, and nobody believes it."""

    uid: str | int


class AddOrRemoveContact(Body, kw_only=True):
    """16"""

    base_request: Owner
    uid: str
    star_friend: int | float


class IsUserShieldApp(Body):
    """36"""

    source_id: str
    target_id: str


class CancelShieldMsg(IsUserShieldApp):
    """35"""

    type: int | float


class SetShieldMsg(CancelShieldMsg):
    """34"""

    memo: str | UnsetType = UNSET


class AppContacts:
    """The handlers."""

    def __init__(self, contacts: Contacts, mutes: Mutes) -> None:
        self._contacts, self._mutes = contacts, mutes

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        device = "/app/client/device/"
        frame.user(f"{device}addOrRemoveContact", AddOrRemoveContact, self.star)
        frame.user(f"{device}setShieldMsg", SetShieldMsg, self.mute)
        frame.user(f"{device}cancelShieldMsg", CancelShieldMsg, self.unmute)
        frame.user(f"{device}isUserShieldApp", IsUserShieldApp, self.is_muted)

    async def star(self, call: Call[AddOrRemoveContact, UserCaller]) -> Answer:
        """16"""
        if call.body.star_friend == STARRED:
            await self._contacts.star(call.caller, call.body.uid, ContactChange())
        else:
            await self._contacts.unstar(call.caller, call.body.uid)
        return Answer()

    async def mute(self, call: Call[SetShieldMsg, UserCaller]) -> Answer:
        """34"""
        body = call.body
        target_id = _target_id(body, call.caller)
        wanted = MuteChange(memo=body.memo)
        await self._mutes.mute(call.caller, _kind(body.type), target_id, wanted)
        return Answer()

    async def unmute(self, call: Call[CancelShieldMsg, UserCaller]) -> Answer:
        """35"""
        target_id = _target_id(call.body, call.caller)
        await self._mutes.unmute(call.caller, _kind(call.body.type), target_id)
        return Answer()

    async def is_muted(self, call: Call[IsUserShieldApp, UserCaller]) -> Answer:
        """36"""
        target_id = _target_id(call.body, call.caller)
        muted = await self._mutes.is_muted(call.caller, ShieldType.APPLICATION, target_id)
        return Answer({"isShield": muted})


def _target_id(body: IsUserShieldApp, caller: UserCaller) -> str:
    """Whom it is about. Raises Forbidden if another user than the caller shall be the source."""
    if body.source_id != caller.uid:
        raise Forbidden("sourceId: not the user that the token is of")
    return known_id("targetId", body.target_id)


def _kind(number: float) -> ShieldType:
    kind = next((kind for kind in ShieldType if kind == number), None)
    if kind is None:
        raise BadInput("type", number, "0 (a user), 1 (an application) or 2 (a group)")
    return kind
