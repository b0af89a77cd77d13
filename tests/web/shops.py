"""Two tenants of one customer, with applications, for tests of applications, quotas and credentials.

t1   users ann, and eve who is admin there; applications shop (may set quotas and sync) and weak
t2   user bob; application other (may set quotas and sync)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appmodel.core.application_tokens import digest_of
from appmodel.orm.applications import Application, Operation
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User
from tests.web.organisations import Company, put
from tests.web.world import open_world

APPLICATIONS = [
    ("shop", "t1", "quota sync"),
    ("weak", "t1", "push"),
    ("other", "t2", "quota sync"),
]
"""Their tokens are their ids."""

OPERATOR = "operator"


@asynccontextmanager
async def open_shops(url: str = "") -> AsyncIterator[Company]:
    """On a running node with auth.mode = "on". `url`: of the database; empty = SQLite."""
    async with open_world(auth="on", database=url) as world:
        await put(
            world.context.database,
            Tenant(id="t1", name="One", customer_id="c1"),
            Tenant(id="t2", name="Two", customer_id="c1"),
            User(id="ann", name="ann", tenant_id="t1"),
            User(id="eve", name="eve", tenant_id="t1", role="admin"),
            User(id="bob", name="bob", tenant_id="t2"),
            *(
                Application(
                    id=id_,
                    name=id_.title(),
                    tenant_id=tenant,
                    token_digest=digest_of(id_),
                    permissions=may,
                )
                for id_, tenant, may in APPLICATIONS
            ),
            Operation(id="o2", app_id="shop", content="Two", sort=2),
            Operation(id="o1", app_id="shop", content="One", sort=1, action="https://a.example"),
            Operation(id="o12", app_id="shop", content="1.2", sort=2, parent_id="o1"),
            Operation(id="o11", app_id="shop", content="1.1", sort=1, parent_id="o1"),
            Operation(id="o111", app_id="shop", content="1.1.1", sort=1, parent_id="o11"),
        )
        users = {uid: await world.context.tokens.issue(uid) for uid in ("ann", "eve", "bob")}
        yield Company(world, users | {id_: id_ for id_, _, _ in APPLICATIONS})
