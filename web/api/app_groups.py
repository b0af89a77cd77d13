"""Groups in the application REST.

    create-qun       {"baseRequest","topic","memberCount","memberList":[{"uid":"u2"},...]}
                     {"baseResponse","ChatRoomName":"g1@qun","topic","memberCount","memberList":[member,...]}
    getQunMembers    {"baseRequest","userName":"g1@qun"}                  {"quninfo","memberList","memberCount"}
    updateQunTopic   {"baseRequest","ChatRoomName":"g1@qun","topic"}      errMsg "update Qun Topic success"
    addQunMember     {"baseRequest","ChatRoomName","memberList":[{"uid","nickName"},...]}     as getQunMembers
    delQunMember     the same; one's own uid alone = leave                                    as getQunMembers

Source: appmsgsrv app/qun.go; spec/appmsgsrv.md 4.4 (22 to 26) and 5. Differences: who calls is whose token it is,
and is looked for in the group (W8); `memberList` of create-qun are all members, whole; `nickName` is not used,
notices have the names that the database has.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from appmodel.errors import BadInput, Forbidden, NotMember, PushError
from appmodel.orm.group_queries import Seat
from appmodel.orm.groups import Qun
from web.api.app_frame import Answer, AppFrame, BaseRequest, Body, Call
from web.core.fields import known_id, text_of
from web.core.groups import AT_ONCE, MAX_NAME, GroupChange, NewGroup
from web.core.members import Member, member_of
from web.core.principals import UserCaller
from web.core.targets import Kind, parse_target
from web.core.times import rfc3339
from web.services.groups import Groups

RENAMED = "update Qun Topic success"
NOT_THE_OWNER = "delete Qun Member faild,only qun creater can delete"  # as the original spells it


class Device(BaseRequest, kw_only=True):
    """A baseRequest that says what kind of device calls, as these routes demand."""

    device_type: str = msgspec.field(name="deviceType")


class Owner(Device, kw_only=True):
    """One that says a uid too. It must be there, and nobody believes it."""

    uid: str | int


class ListedUser(msgspec.Struct):
    """Somebody in the list of a new group."""

    uid: str


class NamedUser(ListedUser, rename="camel"):
    """Somebody who is added or removed."""

    nick_name: str


class CreateQun(Body, kw_only=True):
    """22"""

    base_request: Owner
    topic: str
    member_count: int | float
    member_list: list[ListedUser]


class GetQunMembers(Body):
    """23"""

    user_name: str


class UpdateQunTopic(Body, kw_only=True):
    """24"""

    base_request: Device
    topic: str
    chat_room_name: str = msgspec.field(name="ChatRoomName")


class ChangeQunMembers(Body, kw_only=True):
    """25, 26"""

    base_request: Device
    chat_room_name: str = msgspec.field(name="ChatRoomName")
    member_list: list[NamedUser]


class QunInfo(msgspec.Struct, rename="camel"):
    """`quninfo`."""

    id: str
    creator_id: str
    creator_user_name: str
    name: str
    description: str
    max_member: int
    avatar: str
    tenant_id: str
    created: str
    updated: str


class AppGroups:
    """The handlers."""

    def __init__(self, groups: Groups, *, weedfs: str) -> None:
        """`weedfs`: "host:port" of avatars in lists; "" = as they are."""
        self._groups = groups
        self._weedfs = weedfs

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        device = "/app/client/device/"
        frame.user(f"{device}create-qun", CreateQun, self.create)
        frame.user(f"{device}getQunMembers", GetQunMembers, self.get_members)
        frame.user(f"{device}updateQunTopic", UpdateQunTopic, self.rename)
        frame.user(f"{device}addQunMember", ChangeQunMembers, self.add_members)
        frame.user(f"{device}delQunMember", ChangeQunMembers, self.remove_members)

    async def create(self, call: Call[CreateQun, UserCaller]) -> Answer:
        """22"""
        caller, body = call.caller, call.body
        topic, uids = text_of("topic", body.topic, MAX_NAME), _uids(body.member_list)
        wanted = NewGroup(name=topic, user_ids=uids)
        group = await self._groups.create(caller, caller.tenant_id, wanted)
        return Answer(
            {
                "ChatRoomName": f"{group.id}@qun",
                "topic": body.topic,
                "memberCount": body.member_count,
                "memberList": self._members(await self._groups.seats(group)),
            }
        )

    async def get_members(self, call: Call[GetQunMembers, UserCaller]) -> Answer:
        """23"""
        group_id = _group_id("userName", call.body.user_name)
        group = await self._groups.see(call.caller, call.caller.tenant_id, group_id)
        return await self._whole(group)

    async def rename(self, call: Call[UpdateQunTopic, UserCaller]) -> Answer:
        """24"""
        group_id = _group_id("ChatRoomName", call.body.chat_room_name)
        wanted = GroupChange(name=text_of("topic", call.body.topic, MAX_NAME))
        await self._groups.update(call.caller, call.caller.tenant_id, group_id, wanted)
        return Answer(text=RENAMED)

    async def add_members(self, call: Call[ChangeQunMembers, UserCaller]) -> Answer:
        """25"""
        group_id, uids = _change(call.body)
        group, _ = await self._groups.invite(call.caller, call.caller.tenant_id, group_id, uids)
        return await self._whole(group)

    async def remove_members(self, call: Call[ChangeQunMembers, UserCaller]) -> Answer:
        """26"""
        group_id, uids = _change(call.body)
        try:
            group = await self._groups.remove(call.caller, call.caller.tenant_id, group_id, uids)
        except NotMember:
            raise
        except Forbidden:
            return Answer(error=PushError(NOT_THE_OWNER))
        return await self._whole(group)

    async def _whole(self, group: Qun) -> Answer:
        members = self._members(await self._groups.seats(group))
        answer: dict[str, Any] = {"quninfo": _info(group)}
        return Answer(answer | {"memberList": members, "memberCount": len(members)})

    def _members(self, seats: Sequence[Seat]) -> list[Member]:
        return [member_of(seat.person, avatar=self._avatar(seat.person.avatar)) for seat in seats]

    def _avatar(self, column: str) -> str:
        """`3,01637037d6` of weed-fs is http://<weedfs>/3/01637037d6."""
        if not column or not self._weedfs:
            return column
        return f"http://{self._weedfs}/{column.replace(',', '/', 1)}"


def _info(group: Qun) -> QunInfo:
    return QunInfo(
        id=group.id,
        creator_id=group.creator_id,
        creator_user_name=f"{group.creator_id}@user",
        name=group.name,
        description=group.description,
        max_member=group.max_member,
        avatar=group.avatar,
        tenant_id=group.tenant_id,
        created=rfc3339(group.created),
        updated=rfc3339(group.updated),
    )


def _change(body: ChangeQunMembers) -> tuple[str, list[str]]:
    return _group_id("ChatRoomName", body.chat_room_name), _uids(body.member_list)


def _uids(listed: Sequence[ListedUser]) -> list[str]:
    """Raises BadInput naming the entry that is no id."""
    if len(listed) > AT_ONCE:
        raise BadInput("memberList", f"{len(listed)} of them", f"at most {AT_ONCE}")
    return [known_id(f"memberList[{n}].uid", one.uid) for n, one in enumerate(listed)]


def _group_id(field: str, name: str) -> str:
    """The id of a group by its name. Raises BadInput for anything else."""
    target = parse_target(name, field)
    if target.kind is not Kind.GROUP:
        raise BadInput(field, name, "the name of a group: <id>@qun")
    return target.id
