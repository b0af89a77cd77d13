"""Calls of applications, menus, quotas, statistics and push credentials; see documented.py."""

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from appmodel.orm.applications import Application, Operation, PushCredential
from appmodel.orm.counting import PushCnt, Quota
from appmodel.orm.organisations import Tenant
from tests.web.documented import Call
from tests.web.gateways.authority import pem
from tests.web.organisations import put
from tests.web.world import World


def a_p8(**fields: str) -> str:
    """The content of a credential for APNs."""
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    content = {"key_id": "ABC123DEFG", "team_id": "DEF123GHIJ", "key": key}
    return msgspec.json.encode(content | fields).decode()


def a_credential(**fields: str) -> bytes:
    """A body of POST /v2/push-credentials."""
    wanted = {"provider": "apns", "kind": "p8", "topic": "com.shop.app", "content": a_p8()}
    return msgspec.json.encode(wanted | fields)


async def prepare(world: World) -> None:
    """A tenant with an application that has a menu, a quota, a counter and a credential."""
    await put(
        world.context.database,
        Tenant(id="ta", name="T1", customer_id="ca"),
        Application(id="a1", name="A1", tenant_id="ta"),
        Operation(id="o1", app_id="a1", content="One"),
        Quota(id="q1", customer_id="ca", tenant_id="ta", type="push_cnt", value="5"),
        PushCnt(tenant_id="ta", caller_id="u1", push_type="@user", period="2026-11-21", count=2),
        PushCredential(id="p1", tenant_id="ta", provider="fcm", kind="service_account", content=""),
    )


CALLS = [
    Call("POST", "/v2/applications", b'{"id":"a2","name":"A2","tenant_id":"ta"}'),
    Call("POST", "/v2/applications", b'{"id":"a2","name":"A2","tenant_id":"ta"}'),
    Call("POST", "/v2/applications", b'{"name":""}'),
    Call("GET", "/v2/applications?tenant=ta&limit=1"),
    Call("GET", "/v2/applications/a1?tenant=ta"),
    Call("GET", "/v2/applications/a1"),
    Call("PATCH", "/v2/applications/a1?tenant=ta", b'{"permissions":["push"]}'),
    Call("PATCH", "/v2/applications/a1?tenant=ta", b'{"token":"x"}'),
    Call("POST", "/v2/applications/a1/token?tenant=ta"),
    Call("POST", "/v2/applications/a3/token?tenant=ta"),
    Call("GET", "/v2/applications/a1/operations?tenant=ta"),
    Call("POST", "/v2/applications/a1/operations?tenant=ta", b'{"content":"Two","parent_id":"o1"}'),
    Call("POST", "/v2/applications/a1/operations?tenant=ta", b'{"content":"One","id":"o1"}'),
    Call("PATCH", "/v2/applications/a1/operations/o1?tenant=ta", b'{"sort":2}'),
    Call("PATCH", "/v2/applications/a1/operations/o2?tenant=ta", b'{"sort":2}'),
    Call("DELETE", "/v2/applications/a1/operations/o1?tenant=ta"),
    Call("DELETE", "/v2/applications/a1/operations/o1?tenant=ta"),
    Call("DELETE", "/v2/applications/a1?tenant=ta"),
    Call("DELETE", "/v2/applications/a1?tenant=ta"),
    Call("POST", "/v2/quotas", b'{"tenant_id":"ta","type":"api_cnt","api_name":"/a","value":"9"}'),
    Call("POST", "/v2/quotas", b'{"tenant_id":"ta","type":"push_cnt","value":"9"}'),
    Call("POST", "/v2/quotas", b'{"tenant_id":"ta","type":"push_cnt","value":"x"}'),
    Call("GET", "/v2/quotas?tenant=ta&limit=1"),
    Call("GET", "/v2/quotas?after=x"),
    Call("GET", "/v2/quotas/q1"),
    Call("GET", "/v2/quotas/q2"),
    Call("PATCH", "/v2/quotas/q1", b'{"value":"-1"}'),
    Call("PATCH", "/v2/quotas/q1", b'{"value":-1}'),
    Call("DELETE", "/v2/quotas/q1"),
    Call("DELETE", "/v2/quotas/q1"),
    Call("GET", "/v2/statistics"),
    Call("GET", "/v2/statistics?period=week"),
    Call("POST", "/v2/push-credentials", a_credential(tenant_id="ta")),
    Call("POST", "/v2/push-credentials", a_credential(tenant_id="ta")),
    Call("POST", "/v2/push-credentials", a_credential(kind="p12")),
    Call("GET", "/v2/push-credentials?tenant=ta"),
    Call("GET", "/v2/push-credentials?limit=0"),
    Call("DELETE", "/v2/push-credentials/p1?tenant=ta"),
    Call("DELETE", "/v2/push-credentials/p1?tenant=ta"),
]
