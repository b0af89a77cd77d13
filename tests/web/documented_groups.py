"""Calls of groups, contacts and mutes; see documented.py."""

from appmodel.core.groups import Role
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.people import User
from tests.web.documented import Call
from tests.web.organisations import put
from tests.web.world import World


async def prepare(world: World) -> None:
    """Three users of a tenant, two of them in a group."""
    await put(
        world.context.database,
        *(User(id=uid, name=uid, tenant_id="t7") for uid in ("ann", "bob", "cyd")),
        Qun(id="g1", name="Lunch", creator_id="ann", tenant_id="t7"),
        QunUser(qun_id="g1", user_id="ann", role=Role.OWNER),
        QunUser(qun_id="g1", user_id="bob"),
    )


CALLS = [
    Call("POST", "/v2/groups", b'{"name":"Dinner","user_ids":["bob"]}', user="ann"),
    Call("POST", "/v2/groups", b'{"name":"x","tenant_id":"t7","owner_id":"ann"}'),
    Call("POST", "/v2/groups", b'{"name":"x","tenant_id":"t7"}'),
    Call("POST", "/v2/groups", b'{"name":"x","tenant_id":"t8"}', user="ann"),
    Call("POST", "/v2/groups", b'{"name":"x","user_ids":["zoe"]}', user="ann"),
    Call("POST", "/v2/groups", b'{"name":"x","user_ids":["bob"],"max_member":1}', user="ann"),
    Call("GET", "/v2/groups?limit=1", user="ann"),
    Call("GET", "/v2/groups?all=true", user="ann"),
    Call("GET", "/v2/groups?tenant=t7"),
    Call("GET", "/v2/groups?limit=0", user="ann"),
    Call("GET", "/v2/groups/g1", user="bob"),
    Call("GET", "/v2/groups/g1", user="cyd"),
    Call("GET", "/v2/groups/g1"),
    Call("PATCH", "/v2/groups/g1", b'{"description":"at noon","max_member":50}', user="ann"),
    Call("PATCH", "/v2/groups/g1", b'{"max_member":1}', user="ann"),
    Call("PATCH", "/v2/groups/g1", b'{"avatar":"x"}', user="bob"),
    Call("GET", "/v2/groups/g1/members?limit=1", user="bob"),
    Call("POST", "/v2/groups/g1/members", b'{"user_ids":["bob","cyd"]}', user="bob"),
    Call("POST", "/v2/groups/g1/members", b'{"user_ids":["zoe"]}', user="bob"),
    Call("PATCH", "/v2/groups/g1/members/bob", b'{"role":"admin"}', user="ann"),
    Call("PATCH", "/v2/groups/g1/members/bob", b'{"role":"owner"}', user="ann"),
    Call("PATCH", "/v2/groups/g1/members/ann", b'{"role":"admin"}', user="ann"),
    Call("DELETE", "/v2/groups/g1/members/cyd", user="bob"),
    Call("DELETE", "/v2/groups/g1/members/ann", user="bob"),
    Call("POST", "/v2/groups/g1/owner", b'{"user_id":"bob"}', user="ann"),
    Call("POST", "/v2/groups/g1/owner", b'{"user_id":"bob"}', user="ann"),
    Call("POST", "/v2/groups/g1/leave", user="ann"),
    Call("POST", "/v2/groups/g1/leave", user="ann"),
    Call("DELETE", "/v2/groups/g1", user="bob"),
    Call("DELETE", "/v2/groups/g1", user="bob"),
    Call("PUT", "/v2/contacts/bob", b'{"remark":"Bobby","sort":2}', user="ann"),
    Call("PUT", "/v2/contacts/zoe", b"{}", user="ann"),
    Call("PUT", "/v2/contacts/bob", b"{}"),
    Call("GET", "/v2/contacts?limit=1", user="ann"),
    Call("DELETE", "/v2/contacts/bob", user="ann"),
    Call("PUT", "/v2/mutes/bob@user", b'{"memo":"loud"}', user="ann"),
    Call("PUT", "/v2/mutes/zoe@user", b"{}", user="ann"),
    Call("PUT", "/v2/mutes/t7@tenant", b"{}", user="ann"),
    Call("GET", "/v2/mutes?limit=1", user="ann"),
    Call("DELETE", "/v2/mutes/bob@user", user="ann"),
]
