"""What tests of tenants and departments have in common."""

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from appmodel.core.application_tokens import digest_of
from appmodel.core.credentials import Caller
from appmodel.io.database import Database
from appmodel.orm.applications import Application
from appmodel.orm.base import Base
from appmodel.orm.changes import Change
from appmodel.orm.organisations import Org, OrgUser, Tenant
from appmodel.orm.people import User
from tests.web.world import Answer, World, open_world
from web.core.principals import AppCaller, Operator, Permission, UserCaller

OPERATOR = Operator(Caller("", "", frozenset({"admin"}), "op", 0.0, 9e9))


def app_of(tenant_id: str, *permissions: Permission) -> AppCaller:
    """An application of the tenant; without permissions, one with SYNC."""
    may = frozenset(permissions or {Permission.SYNC})
    return AppCaller(f"app-{tenant_id}", "App", tenant_id, "", may)


def user_of(tenant_id: str, uid: str = "u1", role: str = "member") -> UserCaller:
    """A user of the tenant."""
    return UserCaller(uid, tenant_id, "", uid, uid.title(), role, "digest")


async def put(database: Database, *rows: Base) -> None:
    """Rows, as they are."""
    await database.write(lambda session: session.add_all(rows))


async def tenants(database: Database, *ids: str) -> None:
    """Tenants with these ids."""
    await put(database, *(Tenant(id=each, name=each.upper()) for each in ids))


async def locations(database: Database, tenant_id: str = "t1") -> dict[str, str]:
    """Of a tenant's departments, by id."""

    def find(session: Any) -> dict[str, str]:
        rows = session.execute(sa.select(Org.id, Org.location).where(Org.tenant_id == tenant_id))
        return dict(rows.all())

    return await database.read(find)


async def notes(database: Database) -> set[str]:
    """The subjects of all changes that were noted."""
    return await database.read(lambda session: set(session.scalars(sa.select(Change.subject))))


async def forget_notes(database: Database) -> None:
    """As if nothing had changed yet."""

    def forget(session: Any) -> None:
        session.execute(sa.delete(Change))

    await database.write(forget)


def placed(departments: Iterable[tuple[str, str]], places: dict[str, str]) -> Collection[str]:
    """Which of these (id, parent) do not lie one step below their parent, or share a place."""
    wrong = {
        each
        for each, parent in departments
        if len(places[each]) < 2 or places[each][:-2] != (places[parent] if parent else "")
    }
    return wrong | {a for a, p in places.items() if list(places.values()).count(p) > 1}


@dataclass(frozen=True)
class Company:
    """Two tenants on a running node, and who may call it.

    t1: departments d1 > d2, users u1 (in d2) and u2 (in none), applications; t2: v1 and an application.
    """

    world: World
    tokens: Mapping[str, str]  # of u1, v1; of the applications sync, weak (both t1) and other (t2)

    async def app(self, path: str, who: str, **members: Any) -> Any:
        """The JSON that a route of 8093 answers; `who` is in `tokens`, or "" = a bad token."""
        base = {"uid": "", "deviceID": "d", "deviceType": "iOS", "token": self.tokens.get(who, "x")}
        body = json.dumps({"baseRequest": base, **members}).encode()
        answer = await self.world.app.ask("POST", f"/app/client/{path}", body)
        assert answer.status == 200
        return answer.json()

    async def v2(self, method: str, path: str, who: str, body: Any = None) -> Answer:
        """An operation of /v2; `who` "operator" holds an access token with scope admin."""
        token = self.world.token("admin") if who == "operator" else self.tokens.get(who, "x")
        raw = b"" if body is None else json.dumps(body).encode()
        return await self.world.api.ask(method, f"/v2/{path}", raw, bearer=token)


@asynccontextmanager
async def open_company(url: str = "") -> AsyncIterator[Company]:
    """`url`: of the database; empty = SQLite."""
    async with open_world(auth="on", database=url) as world:
        database = world.context.database
        await tenants(database, "t1", "t2")
        await put(
            database,
            Org(id="d1", name="One", location="00", tenant_id="t1", sort=1),
            Org(id="d2", name="Two", location="0000", tenant_id="t1", parent_id="d1", sort=2),
            OrgUser(org_id="d2", user_id="u1", sort=7),
            *(User(id=uid, name=uid, nickname=uid.title(), tenant_id="t1") for uid in ("u1", "u2")),
            User(id="v1", name="v1", nickname="V1", tenant_id="t2"),
            *(
                Application(id=id_, tenant_id=tenant, token_digest=digest_of(id_), permissions=may)
                for id_, tenant, may in APPLICATIONS
            ),
        )
        users = {uid: await world.context.tokens.issue(uid) for uid in ("u1", "v1")}
        yield Company(world, users | {id_: id_ for id_, _, _ in APPLICATIONS})


APPLICATIONS = [("sync", "t1", "sync"), ("weak", "t1", "push"), ("other", "t2", "sync")]
"""Their tokens are their ids."""
