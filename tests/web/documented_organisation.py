"""Calls of departments, tenants and customers; see documented.py."""

from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import User
from tests.web.documented import Call
from tests.web.organisations import put
from tests.web.world import World


async def prepare(world: World) -> None:
    """A tenant with a department and a user."""
    await put(
        world.context.database,
        Tenant(id="t1", name="T1"),
        Org(id="d1", name="D1", location="00", tenant_id="t1"),
        User(id="u1", name="ann", tenant_id="t1"),
        OrgUser(org_id="d1", user_id="u1"),
    )


CALLS = [
    Call("POST", "/v2/customers", b'{"id":"c1","name":"C"}'),
    Call("POST", "/v2/customers", b'{"id":"c1","name":"C"}'),
    Call("GET", "/v2/customers?limit=1"),
    Call("GET", "/v2/customers/c1"),
    Call("GET", "/v2/customers/c2"),
    Call("PATCH", "/v2/customers/c1", b'{"name":"C1"}'),
    Call("POST", "/v2/tenants", b'{"id":"t2","name":"T2","customer_id":"c1"}'),
    Call("POST", "/v2/tenants", b'{"id":"t2","name":"T2"}'),
    Call("GET", "/v2/tenants?limit=1"),
    Call("GET", "/v2/tenants?limit=0"),
    Call("GET", "/v2/tenants/t2"),
    Call("PATCH", "/v2/tenants/t2", b'{"disabled":true}'),
    Call("DELETE", "/v2/tenants/t1"),
    Call("DELETE", "/v2/tenants/t2"),
    Call("DELETE", "/v2/customers/c1"),
    Call("DELETE", "/v2/customers/c1"),
    Call("POST", "/v2/departments", b'{"id":"d2","name":"D2","tenant_id":"t1","parent_id":"d1"}'),
    Call("POST", "/v2/departments", b'{"id":"d2","name":"D2","tenant_id":"t1"}'),
    Call("POST", "/v2/departments", b'{"name":"","tenant_id":"t1"}'),
    Call("GET", "/v2/departments?tenant=t1&limit=1"),
    Call("GET", "/v2/department-tree?tenant=t1"),
    Call("GET", "/v2/departments/d2?tenant=t1"),
    Call("GET", "/v2/departments/d2"),
    Call("PATCH", "/v2/departments/d2?tenant=t1", b'{"parent_id":""}'),
    Call("PATCH", "/v2/departments/d2?tenant=t1", b'{"parent_id":"d2"}'),
    Call("POST", "/v2/departments/d2/members?tenant=t1", b'{"user_ids":["u1"]}'),
    Call("GET", "/v2/departments/d2/members?tenant=t1"),
    Call("GET", "/v2/departments/d2/members?tenant=t1&deep=true"),
    Call("PATCH", "/v2/departments/d2/members/u1?tenant=t1", b'{"sort":3}'),
    Call("PATCH", "/v2/departments/d2/members/u2?tenant=t1", b'{"sort":3}'),
    Call("GET", "/v2/users/u1/departments?tenant=t1"),
    Call("DELETE", "/v2/departments/d2?tenant=t1"),
    Call("DELETE", "/v2/departments/d2/members/u1?tenant=t1"),
    Call("DELETE", "/v2/departments/d2?tenant=t1"),
    Call(
        "POST",
        "/v2/sync",
        b'{"tenant_id":"t1","users":[{"id":"u9","name":"Z"}],"delete":{"users":["u1"]}}',
    ),
    Call("POST", "/v2/sync", b'{"tenant_id":"t1","departments":[{"id":"d9"}]}'),
    Call("POST", "/v2/sync", b'{"users":[{"id":9}]}'),
    Call("POST", "/v2/sync", b"{}"),
]
