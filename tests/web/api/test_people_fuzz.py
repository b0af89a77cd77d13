"""Whatever comes in at the routes about people is answered or refused, and breaks nothing."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from appmodel.core.units import Size
from appmodel.orm.people import User
from tests.web.organisations import put
from tests.web.phones import an_application
from tests.web.world import open_world, web_config
from web.config import LoginConfig

NAMES = [
    "userName",
    "password",
    "apnsToken",
    "delToken",
    "validToken",
    "token",
    "uid",
    "type",
    "searchKey",
    "searchType",
    "offset",
    "limit",
    "orgId",
    "member",
    "name",
    "nickName",
    "pYInitial",
    "pYQuanPin",
    "status",
    "avatar",
    "tenantId",
    "email",
    "mobile",
    "area",
    "old_password",
    "new_password",
    "id",
    "tenant_id",
    "role",
    "disabled",
    "provider",
    "device_id",
    "subscription",
    "code",
    "url",
    "description",
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=70) | st.sampled_from(
    ["ann", "ann@user", "@", "_", "ann_" + "0" * 82, "a\0b", "%", "'", "<b>", "user", "app", "fcm"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=12)
    ),
    max_leaves=14,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
OLD = [
    *(
        f"device/{name}"
        for name in [
            "login",
            "delToken",
            "validateToken",
            "getMember",
            "checkUpdate",
            "search",
            "addApnsToken",
            "delApnsToken",
        ]
    ),
    "app/syncUser",
    "app/user/auth",
]
NEW = [
    ("POST", "users"),
    ("PATCH", "users/ann"),
    ("POST", "users/ann/password"),
    ("POST", "tokens"),
    ("POST", "devices"),
    ("POST", "client-versions"),
]
CALLS = st.lists(
    st.tuples(st.sampled_from(OLD), st.sampled_from(NEW), BODIES), min_size=12, max_size=12
)


PATIENT = web_config(
    login=LoginConfig(account_tries=0, address_tries=0, argon2_memory=Size(8192), argon2_passes=1)
)


@settings(max_examples=12)
@given(CALLS, TEXTS)
async def test_any_body_is_answered_or_refused(
    calls: list[tuple[str, tuple[str, str], dict[str, Any]]], text: str
) -> None:
    """No 5xx, no code of a fault of ours, and the node serves on."""
    async with open_world(config=PATIENT) as world:
        await put(world.context.database, User(id="ann", name="ann", tenant_id="t1", role="admin"))
        ann = await world.context.tokens.issue("ann")
        shop = await an_application(world, "shop", "sync auth")
        for old, (method, new), fields in calls:
            for token in (ann, shop):
                base = {"uid": text, "deviceID": text, "deviceType": "iOS", "token": token}
                body = json.dumps({"baseRequest": base, **fields}).encode()
                said = (await world.app.ask("POST", f"/app/client/{old}", body)).json()
                assert said["baseResponse"]["ret"] != 65535 or "type: there is no" in str(said)
                body = json.dumps(fields).encode()
                answer = await world.api.ask(method, f"/v2/{new}", body, bearer=token)
                assert answer.status < 500, answer.body
        for target in ("user/erweima?id=", "client/appweb/login?userName=a&password="):
            answer = await world.app.ask("GET", f"/app/{target}{quote(text, safe='')}")
            assert answer.status < 500, answer.body
        assert (await world.api.ask("GET", "/v2/openapi.json")).status == 200
