"""The business card behind a QR code."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User
from tests.web.organisations import put
from tests.web.world import Answer, World, open_world, web_config
from web.config import AppConfig, CardConfig

EVIL = "</h1><script>alert('1')</script>\""


async def people(world: World) -> None:
    await put(
        world.context.database,
        User(id="ann", nickname="Ann", mobile="12345", email="ann@shop.example", password="secret"),
        User(id="eve", nickname=EVIL, mobile=EVIL[:32], email=EVIL),
        User(id="bare", nickname="Bare"),
        User(id="gone", nickname="Gone", status=-1),
        User(id="late", nickname="Late", tenant_id="t9"),
        Tenant(id="t9", status=-1),
    )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as world:
        await people(world)
        yield world


async def card(world: World, uid: str, **options: Any) -> Answer:
    target = f"/app/user/erweima?id={quote(uid, safe='')}"
    return await world.app.ask("GET", target, **options)


async def test_a_card(world: World) -> None:
    """49: name, mobile, and a code of its own address; nothing else of the user."""
    answer = await card(world, "ann")
    page = answer.body.decode()

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Ann</title>" in page
    assert "<h1>Ann</h1>" in page
    assert "<dt>Mobile</dt><dd>12345</dd>" in page
    assert "ann@shop.example" not in page
    assert "<svg" in page
    assert "secret" not in page


async def test_whatever_a_user_is_called_is_text(world: World) -> None:
    """Nothing of it becomes a tag, and the policy lets no script run (W14)."""
    answer = await card(world, "eve")

    assert answer.status == 200
    assert b"<script" not in answer.body
    assert b"&lt;script&gt;" in answer.body
    assert b"&quot;" in answer.body
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("uid", ["nobody", "", "gone", "late", "a\0b", "x" * 65, EVIL])
async def test_no_card(world: World, uid: str) -> None:
    """404 for whoever is not there, or disabled; a page too, and the id is not echoed."""
    answer = await card(world, uid)

    assert answer.status == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b"There is no such card" in answer.body
    assert b"script" not in answer.body


async def test_the_code_leads_to_the_card(world: World) -> None:
    """It is of the address as it was asked for, or of the one that is configured; of no nonsense."""
    named = await card(world, "ann", headers={"Host": "push.example.com"})
    other = await card(world, "ann", headers={"Host": "shop.example.com"})
    config = CardConfig(url="https://shop.example.com/")
    async with open_world(config=web_config(card=config)) as fixed:
        await people(fixed)
        configured = [
            (await card(fixed, "ann", headers={"Host": host})).body
            for host in ("a.example", "b.example")
        ]

    assert named.body != other.body
    assert configured[0] == configured[1]


async def test_only_the_style_is_served(world: World) -> None:
    """11: the one file, and no listing, no other file, no way out of the folder."""
    style = await world.app.ask("GET", "/app/static/card.css")

    assert style.status == 200
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert b'href="/app/static/card.css"' in (await card(world, "ann")).body
    for path in ("/app/static/", "/app/static", "/app/static/demo.js", "/app/static/../config.py"):
        assert (await world.app.ask("GET", path)).status == 404


async def test_an_address_is_shown_if_that_is_wanted() -> None:
    """The original's page has a place for it, and never fills it."""
    config = web_config(app=AppConfig(port=0), card=CardConfig(show=("email",)))
    async with open_world(config=config) as world:
        await people(world)

        page = (await card(world, "ann")).body.decode()

    assert "<dt>E-mail</dt><dd>ann@shop.example</dd>" in page
    assert "12345" not in page


async def test_what_is_shown_can_be_less() -> None:
    """Or nothing at all; and in Chinese."""
    less = web_config(app=AppConfig(port=0, language="zh"), card=CardConfig(show=("mobile",)))
    async with open_world(config=less) as world:
        await people(world)
        page = (await card(world, "ann")).body.decode()
        missing = (await card(world, "nobody")).body.decode()
    assert ("手机" in page, "12345" in page, "ann@shop" in page) == (True, True, False)
    assert 'lang="zh"' in page
    assert "名片不存在" in missing
    async with open_world(config=web_config(card=CardConfig(enabled=False))) as world:
        await people(world)
        assert (await card(world, "ann")).status == 404
        assert (await world.app.ask("GET", "/app/static/card.css")).status == 404


async def test_nobody_reads_all_cards() -> None:
    """So many from one address in a minute: ids can be guessed."""
    async with open_world(config=web_config(card=CardConfig(reads=3))) as world:
        await people(world)
        statuses = [(await card(world, "ann")).status for _ in range(4)]
        other = await card(world, "ann", headers={"X-Forwarded-For": "203.0.113.7"})

    assert statuses == [200, 200, 200, 429]
    assert other.status == 200


async def test_a_user_without_anything(world: World) -> None:
    """Empty lines are left out."""
    answer = await card(world, "bare")

    assert answer.status == 200
    assert b"<dt>" not in answer.body
