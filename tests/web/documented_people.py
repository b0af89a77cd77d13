"""Calls of users, logins, devices and client versions; see documented.py."""

from appmodel.orm.devices import ApnsToken
from appmodel.orm.people import ClientVersion, User
from tests.web.documented import Call
from tests.web.organisations import put
from tests.web.world import World
from web.services.passwords import hash_password


async def prepare(world: World) -> None:
    """Two users of a tenant, a phone, a program."""
    stored = hash_password("secret-1")
    await put(
        world.context.database,
        User(id="pat", name="pat", tenant_id="t5", password=stored),
        User(id="quin", name="quin", tenant_id="t5"),
        ApnsToken(id="phone", user_id="pat", device_id="d1", apns_token="0a"),
        ClientVersion(id="v1", type="iOS", ver_code=3, ver_name="0.3"),
    )


SUBSCRIPTION = (
    b'{"endpoint":"https://push.example/x","keys":{"p256dh":"'
    b"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
    b'","auth":"tBHItJI5svbpez7KI4CCXg"}}'
)

CALLS = [
    Call("POST", "/v2/users", b'{"name":"rob","nickname":"Rob","password":"secret-2"}'),
    Call("POST", "/v2/users", b'{"name":"sue","id":"sue","tenant_id":"t9"}'),
    Call("POST", "/v2/users", b'{"name":"rob"}'),
    Call("POST", "/v2/users", b'{"name":"x"}', user="pat"),
    Call("GET", "/v2/users?tenant=t5&limit=1"),
    Call("GET", "/v2/users?q=p", user="pat"),
    Call("GET", "/v2/users?limit=0", user="pat"),
    Call("GET", "/v2/users/quin", user="pat"),
    Call("GET", "/v2/users/zoe", user="pat"),
    Call("GET", "/v2/users/quin?tenant=t6", user="pat"),
    Call("GET", "/v2/me", user="pat"),
    Call("GET", "/v2/me"),
    Call("PATCH", "/v2/users/pat", b'{"nickname":"Pat"}', user="pat"),
    Call("PATCH", "/v2/users/pat", b'{"role":"admin"}', user="pat"),
    Call("PATCH", "/v2/users/quin?tenant=t5", b'{"name":"pat"}'),
    Call("PATCH", "/v2/users/quin?tenant=t5", b'{"disabled":true}'),
    Call("PATCH", "/v2/users/quin?tenant=t5", b'{"disabled":1}'),
    Call("POST", "/v2/tokens", b'{"name":"pat","password":"secret-1","device_id":"d1"}'),
    Call("POST", "/v2/tokens", b'{"name":"pat","password":"secret-2"}'),
    Call("POST", "/v2/tokens", b'{"name":"pat"}'),
    Call("DELETE", "/v2/tokens/current", user="pat"),
    Call("DELETE", "/v2/tokens/current"),
    Call("POST", "/v2/devices", b'{"provider":"fcm","token":"abc"}', user="pat"),
    Call(
        "POST",
        "/v2/devices",
        b'{"provider":"webpush","subscription":' + SUBSCRIPTION + b"}",
        user="pat",
    ),
    Call("POST", "/v2/devices", b'{"provider":"apns","token":""}', user="pat"),
    Call("GET", "/v2/devices", user="pat"),
    Call("DELETE", "/v2/devices/x", user="pat"),
    Call("DELETE", "/v2/devices/phone", user="pat"),
    Call(
        "POST",
        "/v2/users/pat/password",
        b'{"old_password":"x","new_password":"secret-3"}',
        user="pat",
    ),
    Call("POST", "/v2/users/pat/password", b'{"new_password":"secret-3"}', user="pat"),
    Call("POST", "/v2/users/pat/password?tenant=t5", b'{"new_password":"secret-3"}'),
    Call("POST", "/v2/users/zoe/password?tenant=t5", b'{"new_password":"secret-3"}'),
    Call("DELETE", "/v2/users/pat/tokens?tenant=t5"),
    Call("DELETE", "/v2/users/quin/tokens", user="pat"),
    Call("DELETE", "/v2/users/quin?tenant=t5"),
    Call("DELETE", "/v2/users/quin?tenant=t5"),
    Call("POST", "/v2/client-versions", b'{"type":"Android","code":12,"name":"1.2","id":"x"}'),
    Call("POST", "/v2/client-versions", b'{"type":"Android","code":12,"name":"1.2"}'),
    Call("POST", "/v2/client-versions", b'{"type":"Android","code":12,"name":"1.3"}'),
    Call("POST", "/v2/client-versions", b'{"type":"Android","code":13,"name":"1.3"}', user="pat"),
    Call("GET", "/v2/client-versions?type=Android&limit=1", user="pat"),
    Call("GET", "/v2/client-versions/x", user="pat"),
    Call("GET", "/v2/client-versions/v1", user="pat"),
    Call("PATCH", "/v2/client-versions/v1", b'{"name":"0.3.1"}'),
    Call("PATCH", "/v2/client-versions/v1", b'{"type":"iOS"}'),
    Call("PATCH", "/v2/client-versions/v2", b"{}"),
    Call("DELETE", "/v2/client-versions/v1"),
    Call("DELETE", "/v2/client-versions/v1"),
]
