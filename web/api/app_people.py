"""People in the application REST: look them up, search them, deliver them; their phones; the newest client.

    POST /app/client/device/getMember       {"userName":"u2@user"}                                {"member":{...}}
    POST /app/client/device/search          {"searchKey":"an","searchType":"user","offset":0,"limit":20}
                                            {"memberListSize":1,"memberList":[...],"count":1}
    POST /app/client/device/checkUpdate     {"type":"Android"}           {"msg":{"msgType":1001,"objectContent":{...}}}
    POST /app/client/device/addApnsToken    {"apnsToken":"0f3a..."}
    POST /app/client/device/delApnsToken    {"apnsToken":"0f3a..."}
    any  /app/client/app/syncUser           {"orgId":"d3","member":{"uid","name","nickName",...}}

All with a `baseRequest`. Source: appmsgsrv app/org.go, user.go, client.go, apns.go; spec/appmsgsrv.md 4.4 (17, 18, 21, 27, 28),
4.5 (38). Differences: nobody sees people of another tenant, nor a password (W2); `search` finds applications too,
sorted, and at most 100 at once; a phone goes by its deviceID, not by its token; an empty apnsToken is
refused; syncUser changes a user that is there (C5).
"""

from msgspec import UNSET, UnsetType

from appmodel.errors import BadInput, NotFound
from appmodel.orm.searching import ApplicationEntry
from web.api.app_frame import ANY_METHOD, Answer, AppFrame, Body, Call
from web.core.fields import known_id, number_of, text_of
from web.core.members import Member, member_of, member_of_application
from web.core.principals import AppCaller, UserCaller
from web.core.users import DeliveredUser
from web.core.versions import ClientVersion
from web.services.devices import Devices
from web.services.people import People
from web.services.versions import Versions

VERSION = 1001  # msgType of checkUpdate's message
MAX_FOUND = 100  # members of one page of a search
MAX_OFFSET = 100_000
MAX_KEY = 255  # characters that are searched for


class WantedMember(Body):
    """The body of getMember."""

    user_name: str


class WantedVersion(Body):
    """The body of checkUpdate."""

    type: str


class Search(Body):
    """The body of search. Which types there are: "user" and "app"; of others nothing is found."""

    search_key: str
    search_type: str
    offset: float | UnsetType = UNSET
    limit: float | UnsetType = UNSET


class ApnsToken(Body):
    """The body of addApnsToken and delApnsToken."""

    apns_token: str


class SyncedUser(Body):
    """The body of syncUser."""

    org_id: str
    member: DeliveredUser


class NoVersion(NotFound):
    """checkUpdate has a code of its own for it."""

    ret = 65535


class AppPeople:
    """The handlers."""

    def __init__(self, people: People, devices: Devices, versions: Versions) -> None:
        self._people, self._devices, self._versions = people, devices, versions

    def add_to(self, frame: AppFrame) -> None:
        """Add the routes."""
        frame.user("/app/client/device/getMember", WantedMember, self.get_member)
        frame.user("/app/client/device/checkUpdate", WantedVersion, self.check_update)
        frame.user("/app/client/device/search", Search, self.search)
        frame.user("/app/client/device/addApnsToken", ApnsToken, self.add_apns_token)
        frame.user("/app/client/device/delApnsToken", ApnsToken, self.delete_apns_token)
        path = "/app/client/app/syncUser"
        frame.application(path, SyncedUser, self.sync_user, methods=ANY_METHOD)

    async def get_member(self, call: Call[WantedMember, UserCaller]) -> Answer:
        """17"""
        name = call.body.user_name
        uid, _, suffix = name.partition("@")
        if suffix != "user":
            raise BadInput("userName", name, "a name such as u1@user")
        person, starred = await self._people.member(call.caller, known_id("userName", uid))
        return Answer({"member": member_of(person, starred=starred)})

    async def check_update(self, call: Call[WantedVersion, UserCaller]) -> Answer:
        """18"""
        version = await self._versions.newest(call.body.type)
        if version is None:
            raise NoVersion(f"type: there is no version of {call.body.type!r}")
        return Answer({"msg": _message_of(version)})

    async def search(self, call: Call[Search, UserCaller]) -> Answer:
        """21"""
        body, caller = call.body, call.caller
        members: list[Member] = []
        count = 0
        if body.search_type in {"user", "app"}:
            offset = _bound("offset", body.offset, MAX_OFFSET)
            limit = min(_bound("limit", body.limit, 2**31 - 1), MAX_FOUND)
            text = text_of("searchKey", body.search_key, MAX_KEY)
            if body.search_type == "user":
                people, count = await self._people.search(caller, text, offset=offset, limit=limit)
                members = [member_of(person) for person in people]
            else:
                entries, count = await self._people.search_applications(
                    caller, text, offset=offset, limit=limit
                )
                members = [_application(entry) for entry in entries]
        return Answer({"memberListSize": len(members), "memberList": members, "count": count})

    async def add_apns_token(self, call: Call[ApnsToken, UserCaller]) -> Answer:
        """27"""
        device_id = call.body.base_request.device_id
        await self._devices.register_apns(call.caller, call.body.apns_token, device_id)
        return Answer(text="Save apns_token success")

    async def delete_apns_token(self, call: Call[ApnsToken, UserCaller]) -> Answer:
        """28"""
        await self._devices.forget_apns(call.caller, call.body.apns_token)
        return Answer(text="Save apns_token success")

    async def sync_user(self, call: Call[SyncedUser, AppCaller]) -> Answer:
        """38"""
        await self._people.put(call.caller, call.body.org_id, call.body.member)
        return Answer()


def _bound(field: str, value: float | UnsetType, most: int) -> int:
    if value is UNSET:
        raise BadInput(field, None, "a number")
    number = number_of(field, value)
    if not 0 <= number <= most:
        raise BadInput(field, value, f"0 to {most}")
    return number


def _application(entry: ApplicationEntry) -> Member:
    return member_of_application(
        entry.id,
        entry.name,
        tenant_id=entry.tenant_id,
        status=entry.status,
        sort=entry.sort,
        avatar=entry.avatar,
        description=entry.description,
        py_initial=entry.name_py,
        py_quanpin=entry.name_quanpin,
    )


def _message_of(version: ClientVersion) -> dict[str, object]:
    return {
        "msgType": VERSION,
        "content": version.description,
        "objectContent": {
            "versionCode": version.code,
            "versionName": version.name,
            "url": version.url,
            "fileName": version.file_name,
        },
    }
