"""FCM for devices of Mpush, on a web node and a Google that verifies what it is asked."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from appmodel.core.cluster import Node, Role
from appmodel.core.mpush import device_key
from appmodel.runtime.config import MpushConfig, MpushFcmConfig
from appmodel.runtime.mpush import open_mpush_books
from tests.web.gateways.fcm_case import AUTHORITY
from tests.web.gateways.google import PROJECT, Google, google_error
from tests.web.gateways.h2_server import serving
from tests.web.mpush_desk import Ears
from tests.web.world import World, open_world, web_config
from web.gateways.config import NotificationsConfig

PATIENCE = 40.0  # seconds after which a test has failed
PAUSE = 0.01  # seconds between two looks


@dataclass
class Phone:
    """An app, seen by what it says over HTTP."""

    world: World
    auth: str = ""

    async def say(self, cmd: str, **data: str) -> Any:
        """A command, and what it is answered."""
        said = {"cmd": cmd, "auth": self.auth, "data": data}
        headers = {"Content-Type": "application/json"}
        answer = await self.world.mpush.ask("POST", "/", json.dumps(said).encode(), headers=headers)
        return answer.json()["data"]

    async def log_in(self, name: str) -> dict[str, str]:
        """What AUTH tells."""
        told: dict[str, str] = await self.say("AUTH", token="mpush", name=name)
        self.auth = told.pop("auth")
        return told


@asynccontextmanager
async def with_google(google: Google, folder: Path) -> AsyncIterator[Phone]:
    async with serving(google.server, AUTHORITY.server_context()):
        authority, account = folder / "ca.pem", folder / "account.json"
        authority.write_text(AUTHORITY.certificate)
        account.write_text(google.credential)
        outbound = msgspec.structs.replace(
            NotificationsConfig().outbound, ca_file=str(authority), allowed=("localhost",)
        )
        notifications = NotificationsConfig(outbound=outbound, fcm_url=google.url)
        fcm = MpushFcmConfig(
            project_id=PROJECT,
            application_id="1:2:android:3",
            api_key="AIza",
            credential_file=str(account),
        )
        config = web_config(notifications=notifications)
        async with open_world(config=config, shared={"mpush": MpushConfig(fcm=fcm)}) as world:
            world.context.peers.provide_waits(Node(Role.COMET, "c1"), Ears())
            yield Phone(world)


async def until_sent(google: Google, count: int) -> list[Any]:
    """The messages that Google was asked to bring."""
    with trio.fail_after(PATIENCE):
        while len(google.messages) < count:  # noqa: ASYNC110  # another server
            await trio.sleep(PAUSE)
    return [json.loads(asked.body)["message"] for asked in google.messages]


async def test_an_app_that_registers_gets_what_is_pushed_from_then_on(tmp_path: Path) -> None:
    """It is told the project at AUTH; its copy is the MESSAGE; the device is away, and stays so.

    What was pushed before is older, also where its ids run ahead of the clock: a burst of pushes makes them.
    """
    google = Google()
    async with with_google(google, tmp_path) as phone:
        told = await phone.log_in("phone")
        before = await phone.world.mpush.ask("GET", "/phone?title=before")
        ahead = round((time.time() + 30) * 1000) * 1000
        await phone.world.keep(str(device_key("phone")), b'{"content":"burst"}', first_id=ahead)
        said = await phone.say("REGISTER_FCM", token="abc")
        after = await phone.world.mpush.ask("GET", "/phone?title=after&content=c")
        [sent] = await until_sent(google, 1)

    assert (told["fcmProjectId"], told["fcmApplicationId"]) == (PROJECT, "1:2:android:3")
    assert told["fcmApiKey"] == "AIza"
    assert (said, before.body, after.body) == ("ok", b"offline\n", b"offline\n")
    assert sent["token"] == "abc"
    message = json.loads(sent["data"]["message"])
    assert message["message"] == {"text": "after", "desp": "c", "extra": {}}
    assert message["mid"] == sent["data"]["mid"] == after.headers["x-mpush-mid"]


async def test_a_token_that_is_dead_is_forgotten(tmp_path: Path) -> None:
    """The app was removed from the phone."""
    google = Google(always=google_error(404, "NOT_FOUND", "UNREGISTERED"))
    async with with_google(google, tmp_path) as phone:
        await phone.log_in("phone")
        await phone.say("REGISTER_FCM", token="abc")
        context = phone.world.context
        receivers = open_mpush_books(context.settings, context.database).receivers
        assert await receivers.of(["phone"])

        await phone.world.mpush.ask("GET", "/phone?title=t")

        with trio.fail_after(PATIENCE):
            while await receivers.of(["phone"]):  # noqa: ASYNC110  # nobody sets an event for it
                await trio.sleep(PAUSE)
