"""Whatever comes in at the light-push REST is answered or refused, and breaks nothing."""

from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.web.lightpush_tenants import a_tenant, admin, connect
from tests.web.world import open_world

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["r1", "/demo", "demo", "/demo#u#web-d1", "********", "\0", "\ud800", "%", "_", "on", "a" * 300]
)
ASKED = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
GOOD: dict[str, dict[str, Any]] = {
    "push": {"room": "r1", "pushData": {}},
    "transfer": {"targetRoom": "r1", "sourceRooms": ["r2"], "type": "join"},
    "client": {"id": "/demo#u#web-d1"},
    "room-apns": {"room": "r1"},
    "room-leave-message": {"room": "r1", "leaveMessage": True},
    "namespace/save": {"apns_list": [{"name": "a"}]},
}
FIELDS = [
    *(
        [
            "room",
            "pushData",
            "leaveMessage",
            "except",
            "expire",
            "apnsName",
            "extra",
            "from",
            "targetRoom",
            "sourceRooms",
        ]
    ),
    *(
        [
            "type",
            "id",
            "device_token",
            "mobile",
            "system",
            "longitude",
            "latitude",
            "add",
            "remove",
            "key",
            "name",
            "offline",
        ]
    ),
    *(["connect_callback", "disconnect_callback", "callback_auth", "apns_list"]),
]
BODIES = st.tuples(
    st.sampled_from(list(GOOD)), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3)
)
PATHS = [
    "report/push?page=%s",
    "report/push/%s",
    "report/online?detail=1&room=%s",
    "client/%s",
    "namespace/message-stat?unit=%s",
]
ADMIN_PATHS = [
    "report/online?namespace=%s",
    "namespace/list?key=%s",
    "namespace/list?online=1&name=%s",
    "namespace/del/%s",
    "namespace/message-stat?key=%s",
]


@settings(max_examples=8)
@given(st.lists(BODIES, min_size=12, max_size=12), ASKED)
async def test_any_call_is_answered_or_refused(
    calls: list[tuple[str, dict[str, Any]]], text: str
) -> None:
    """No 5xx, and the node serves on."""
    async with open_world() as world:
        demo, root = await a_tenant(world, "/demo"), admin(world)
        await connect(world, "/demo", "u", rooms=["r1"])
        for path, fields in calls:
            answer = await demo.ask("POST", path, GOOD[path] | fields)
            assert answer.status in (200, 204, 400), answer.body
        for caller, paths in ((demo, PATHS), (root, ADMIN_PATHS)):
            for path in paths:
                answer = await caller.ask("GET", path % quote(text, safe=""))
                assert answer.status in (200, 400, 404), answer.body
        assert await demo.post("login") == {}
