"""Contacts and mutes of /v2: what a user keeps for himself, so only users ask.

    GET    /v2/contacts             {"items":[{"id","nickname",...,"remark","sort"}],"next":...}
    PUT    /v2/contacts/U           {"remark":"Bob from sales","sort":1}      stars him, or changes that
    DELETE /v2/contacts/U           204
    GET    /v2/mutes                {"items":[{"name":"a1@app","memo":""}],"next":...}
    PUT    /v2/mutes/a1@app         {"memo":"too many offers"}
    DELETE /v2/mutes/a1@app         204

All of them may be repeated: nothing is there twice.
"""

from collections.abc import Mapping, Sequence

import msgspec
from quart import Response as QuartResponse

from appmodel.core.mutes import ShieldType
from appmodel.core.people import DISABLED
from appmodel.errors import BadInput
from appmodel.orm import contact_queries
from appmodel.orm.contacts import ShieldMsg
from web.api import openapi_groups as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query
from web.core.decoding import decode
from web.core.groups import (
    Contact,
    ContactChange,
    ContactsAnswer,
    Mute,
    MuteChange,
    MutesAnswer,
)
from web.core.paging import PARAMETERS, cut, paging_of
from web.core.principals import UserCaller
from web.core.targets import Kind, Target, find_target
from web.services.callers import Callers
from web.services.contacts import Contacts, Mutes

_CONTACT = msgspec.json.Decoder(ContactChange)
_MUTE = msgspec.json.Decoder(MuteChange)

KINDS: Mapping[ShieldType, Kind] = {
    ShieldType.USER: Kind.USER,
    ShieldType.APPLICATION: Kind.APP,
    ShieldType.GROUP: Kind.GROUP,
}
TYPES = {kind: type_ for type_, kind in KINDS.items()}


class ContactsPart:
    """The handlers."""

    structs = (Contact, ContactChange, ContactsAnswer, Mute, MuteChange, MutesAnswer)

    def __init__(self, callers: Callers, contacts: Contacts, mutes: Mutes) -> None:
        self._callers = callers
        self._contacts, self._mutes = contacts, mutes
        contact, muted = "/v2/contacts/<user_id>", "/v2/mutes/<name>"
        self.rules: Sequence[Rule] = (
            Rule("GET", "/v2/contacts", self.list_contacts, described.list_contacts()),
            Rule("PUT", contact, self.star, described.star()),
            Rule("DELETE", contact, self.unstar, described.unstar()),
            Rule("GET", "/v2/mutes", self.list_mutes, described.list_mutes()),
            Rule("PUT", muted, self.mute, described.mute()),
            Rule("DELETE", muted, self.unmute, described.unmute()),
        )

    async def list_contacts(self) -> QuartResponse:
        """A page of those who are starred."""
        user = await self._user()
        paging = paging_of(query(*PARAMETERS), int, str)
        found = await self._contacts.page(user, paging)
        contacts, after = cut(found, paging, lambda one: (one.sort, one.person.uid))
        return json_answer(ContactsAnswer([_contact(one) for one in contacts], after))

    async def star(self, user_id: str) -> QuartResponse:
        """Star somebody, or change what is kept of him."""
        user = await self._user()
        query()
        wanted = decode(_CONTACT, await body())
        return json_answer(_contact(await self._contacts.star(user, user_id, wanted)))

    async def unstar(self, user_id: str) -> QuartResponse:
        """No contact any more."""
        user = await self._user()
        query()
        await self._contacts.unstar(user, user_id)
        return no_content()

    async def list_mutes(self) -> QuartResponse:
        """A page of what is muted."""
        user = await self._user()
        paging = paging_of(query(*PARAMETERS), int, str)
        found = await self._mutes.page(user, paging)
        mutes, after = cut(found, paging, lambda row: (row.type, row.target_id))
        return json_answer(MutesAnswer([_mute(row) for row in mutes], after))

    async def mute(self, name: str) -> QuartResponse:
        """Mute something, or change what is noted of it."""
        user = await self._user()
        query()
        type_, target_id = _muted(name)
        wanted = decode(_MUTE, await body())
        return json_answer(_mute(await self._mutes.mute(user, type_, target_id, wanted)))

    async def unmute(self, name: str) -> QuartResponse:
        """Hear it again."""
        user = await self._user()
        query()
        type_, target_id = _muted(name)
        await self._mutes.unmute(user, type_, target_id)
        return no_content()

    async def _user(self) -> UserCaller:
        return await self._callers.user(headers())


def _muted(name: str) -> tuple[ShieldType, str]:
    """What a name is of. Raises BadInput for what cannot be muted."""
    target = find_target(name, "name")
    if target is None or target.kind not in TYPES:
        raise BadInput("name", name, "u1@user, a1@app or g1@qun")
    return TYPES[target.kind], target.id


def _contact(found: contact_queries.Contact) -> Contact:
    person = found.person
    return Contact(
        id=person.uid,
        name=person.login,
        nickname=person.nickname,
        avatar=person.avatar,
        disabled=person.status == DISABLED,
        remark=found.remark,
        sort=found.sort,
    )


def _mute(row: ShieldMsg) -> Mute:
    return Mute(Target(KINDS[ShieldType(row.type)], row.target_id).name, row.memo)
