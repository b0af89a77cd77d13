"""Devices of users, as they use the application REST.

async with open_world() as world:
    await add_users(world.context.database, "ann", "bob")
    ann = await log_in(world, "ann")
    answer = await ann.ask("create-qun", topic="Lunch", memberCount=1, memberList=[{"uid": "bob"}])
    assert ret(answer) == 0
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from appmodel.core.application_tokens import digest_of
from appmodel.orm.applications import Application
from tests.web.world import Answer, World


@dataclass(frozen=True)
class Device:
    """A phone with a token."""

    world: World
    uid: str
    token: str

    async def ask(self, path: str, **fields: Any) -> Any:
        """The answer to a POST below /app/client/device/, as JSON."""
        return (await self.post(path, self.body(**fields))).json()

    def body(self, **fields: Any) -> dict[str, Any]:
        """With a whole baseRequest."""
        device = {"deviceID": "d1", "deviceType": "iOS"}
        return {"baseRequest": {"uid": self.uid, "token": self.token, **device}, **fields}

    async def post(self, path: str, body: Any) -> Answer:
        """Any body."""
        path = f"/app/client/device/{path}"
        return await self.world.app.ask("POST", path, msgspec.json.encode(body))

    async def v2(self, method: str, path: str, body: Any = None) -> Answer:
        """The same user at /v2."""
        raw = b"" if body is None else msgspec.json.encode(body)
        return await self.world.api.ask(method, f"/v2/{path}", raw, bearer=self.token)


async def log_in(world: World, uid: str) -> Device:
    """A token for a user who is in the database."""
    return Device(world, uid, await world.context.tokens.issue(uid))


async def an_application(
    world: World, app_id: str, permissions: str = "", *, tenant: str = "t1"
) -> str:
    """The token of a new application."""
    token = f"token-of-{app_id}"
    row = Application(
        id=app_id,
        name=app_id,
        tenant_id=tenant,
        permissions=permissions,
        token_digest=digest_of(token),
    )
    await world.context.database.write(lambda session: session.add(row))
    return token


def ret(answer: Any) -> int:
    """Of an answer's envelope."""
    number = answer["baseResponse"]["ret"]
    assert isinstance(number, int)
    return number


def reason(answer: Any) -> str:
    """Its errMsg."""
    return str(answer["baseResponse"]["errMsg"])
