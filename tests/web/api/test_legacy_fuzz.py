"""The gopush REST under arbitrary input: always an answer with a code, and nothing changed by a refusal."""

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.world import open_world

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SECONDS = st.sampled_from(["0", "60", "4294967295", "4294967296", "-1", "+1", "x", ""])
QUERY = st.dictionaries(
    st.sampled_from(["key", "k", "expire", "m", "mid", "p", "proto", "cb", "callback", "token"]),
    st.one_of(TEXT, SECONDS, st.sampled_from(["u1", "a@user"])),
    max_size=4,
)
MANY = st.fixed_dictionaries(
    {},
    optional={
        "m": st.sampled_from(["1", "{}", "{", ""]) | TEXT,
        "k": TEXT | st.lists(TEXT, max_size=3),
        "x": TEXT | st.integers(),
    },
).map(lambda members: json.dumps(members).encode())
BODY = st.one_of(st.binary(max_size=40), MANY, st.sampled_from([b"{}", b"key=u1", b"1"]))
fuzz = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def encoded(query: dict[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())


@fuzz
@given(
    path=st.sampled_from(
        ["/1/admin/push/private", "/admin/push", "/1/admin/push/mprivate", "/1/admin/msg/del"]
    ),
    query=QUERY,
    body=BODY,
)
async def test_admin(path: str, query: dict[str, str], body: bytes) -> None:
    """`ret` 0 or 65534; a refusal pushed and deleted nothing."""
    async with open_world() as world:
        await world.keep("u1", b"0")

        answer = await world.admin.ask("POST", f"{path}?{encoded(query)}", body)

        assert answer.status == 200
        assert answer.json()["ret"] in {0, 65534}
        if answer.json()["ret"]:
            assert answer.json().keys() == {"ret"}
            assert answer.headers["x-appmsg-error"]
            assert world.comet.calls == []
            assert await world.kept("u1") == [b"0"]


@fuzz
@given(
    path=st.sampled_from(
        ["/1/server/get", "/2/server/get", "/server/get", "/1/msg/get", "/msg/get", "/1/time/get"]
    ),
    query=QUERY,
)
async def test_public(path: str, query: dict[str, str]) -> None:
    """JSON, or a call of a name; a known code; never anything that a browser could take for a page."""
    async with open_world() as world:
        answer = await world.public.ask("GET", f"{path}?{encoded(query)}")

    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = answer.body.decode()
    if answer.headers["content-type"].startswith("application/javascript"):
        name, _, text = text.partition("(")
        assert name in query.values()
        assert name.isascii()
        text = text.removesuffix(")")
    assert json.loads(text)["ret"] in {0, 65534, 65535}
