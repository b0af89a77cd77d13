"""light-push for the absent, in a web node: how it begins and ends, and what is counted."""

from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from appmodel.core.lightpush_push import PushLimits, check_push
from appmodel.core.lightpush_records import Namespace
from appmodel.core.units import Duration
from appmodel.errors import ConfigError
from appmodel.io.database import Database
from appmodel.io.lightpush_sweeping import now_ms
from tests.databases import an_empty_database, limits
from tests.web.absent import Absent, opened
from tests.web.world import open_world, web_config
from web.config import LightpushConfig, OfflineConfig, WebConfig
from web.layer_lightpush_offline import require_long_lease

SOON = OfflineConfig(poll=Duration(0.02))


def to_apple(absent: Absent) -> WebConfig:
    """Of a node whose Apple is this one, in English."""
    lightpush = LightpushConfig(port=0, offline=SOON)
    return web_config(lightpush=lightpush, notifications=absent.notifications())


async def push(absent: Absent) -> int:
    """A push that is due at once."""
    asked = {"room": "r1", "pushData": {}, "leaveMessage": True}
    absent.clock.ms = now_ms()
    draft = check_push(asked, Namespace("/demo"), PushLimits(), now=absent.clock.ms)
    return await absent.pushes.create(draft, offline_after=0)


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_node_that_stops_finishes_what_it_began(
    tmp_path: Path, *, is_cancelled: bool
) -> None:
    """And hands nothing on: Apple's answer is heard, and noted. However it is ended."""
    with an_empty_database("sqlite") as url:
        database = Database(limits(url))
        async with opened(database, tmp_path) as absent:
            await absent.configure("/", "default")
            await absent.phone("i1", 1)
            absent.apple.server.hold = True
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as end:
                    async with open_world(config=to_apple(absent), database=url) as world:
                        push_id = await push(absent)
                        await absent.apple.server.first.wait()
                        nursery.start_soon(answer_later, absent)
                        (end.cancel if is_cancelled else world.stop.set)()

            report = await absent.report(push_id)
            assert (report.apns_count, report.apns_success_count) == (1, 1)
            assert absent.bodies == [{"aps": {"alert": "Notification"}}]
            jobs = await absent.pushes.claim_jobs(now=now_ms() + 10**6, lease=1, limit=9)
            assert jobs == []
        database.close()


async def answer_later(absent: Absent) -> None:
    """When the node has begun to stop."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    absent.apple.server.release.set()


async def test_what_is_done_for_the_absent_is_counted(tmp_path: Path) -> None:
    """Jobs and notifications by what became of them."""
    with an_empty_database("sqlite") as url:
        database = Database(limits(url))
        async with opened(database, tmp_path) as absent:
            await absent.configure("/", "default")
            await absent.phone("i1", 1)
            async with open_world(config=to_apple(absent), database=url) as world:
                await push(absent)
                page = ""
                while 'web_lightpush_offline_jobs_total{outcome="done"} 1.0' not in page:
                    page = (await world.api.ask("GET", "/metrics")).body.decode()

            assert 'web_lightpush_notifications_total{outcome="delivered"} 1.0' in page
            assert "web_lightpush_offline_busy 0.0" in page
        database.close()


def test_a_lease_is_longer_than_a_step() -> None:
    """Else two nodes would do the same."""
    offline = OfflineConfig(lease=Duration(29))
    config = WebConfig(lightpush=LightpushConfig(offline=offline))

    with pytest.raises(ConfigError, match=r"web\.lightpush\.offline\.lease.*29.*at least 3 times"):
        require_long_lease(config)
    require_long_lease(msgspec.structs.replace(config, lightpush=LightpushConfig()))


@pytest.mark.parametrize("field", ["poll", "lease", "first_pause"])
def test_a_wait_of_nothing_is_refused(field: str) -> None:
    """It would be a loop that never rests."""
    with pytest.raises(ValueError, match="expected more than 0 s"):
        msgspec.structs.replace(OfflineConfig(), **{field: Duration(0)})
