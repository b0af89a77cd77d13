"""The JavaScript client, in Node, against a comet that follows a script."""

import subprocess

import pytest

from tests.clients.node_client import HERE, node_client, why_no_node
from tests.clients.scripted import Comet, Web

pytestmark = pytest.mark.skipif(bool(why_no_node()), reason=why_no_node() or "node is here")


def test_what_needs_no_socket() -> None:
    """The table of endings, jitter, heartbeat, watchdog: with a clock that tests move."""
    command = ["node", "--test", "--test-reporter=spec", str(HERE / "appmsg.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


async def test_it_subscribes_as_the_protocol_says(comet: Comet) -> None:
    """Key, ticket, heartbeat, version 2 and the starting id are in the request."""
    async with node_client("u1 é@user", server=comet.url, token="t&t", mid=7) as client:
        line = await comet.accept_welcome()
        await line.message(8, {"text": "hé"})

        assert await client.event("msg") == {"mid": 8, "msg": {"text": "hé"}}
        assert (line.path, line.query) == (
            "/sub",
            {"key": "u1 é@user", "heartbeat": "60", "ver": "2", "token": "t&t", "mid": "7"},
        )


async def test_it_resumes_where_it_was_cut_off(comet: Comet) -> None:
    """After a loss it asks for what is newer than the last id, and drops what it has already."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept_welcome()
        for mid in (1, 2):
            await line.message(mid)
        assert await client.mids(2) == [1, 2]

        await line.cut()
        line = await comet.accept_welcome()
        for mid in (2, 3, 3, 1, 4):  # more than was asked for
            await line.message(mid)

        assert line.query["mid"] == "2"
        assert await client.mids(2) == [3, 4]


async def test_it_never_resumes_from_a_live_message(comet: Comet) -> None:
    """It tells live ones, keeps stored ids only, and a stored message below a live one still comes."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept_welcome()
        await line.message(5)
        await line.live_message(12)
        await line.live_message(12)
        events = [await client.event("msg", "kept") for _ in range(3)]

        await line.cut()
        line = await comet.accept_welcome()
        await line.live_message(12)
        await line.message(11)

        assert events == [
            {"mid": 5, "msg": None},
            {"kept": ["appmsg.mid.u1@user", "5"]},
            {"mid": 12, "msg": None, "live": True},
        ]
        assert line.query["mid"] == "5"
        assert await client.event("msg", "kept") == {"mid": 11, "msg": None}
        assert await client.event("msg", "kept") == {"kept": ["appmsg.mid.u1@user", "11"]}


async def test_the_last_id_outlives_the_page(comet: Comet) -> None:
    """It is kept per key after each message, and is where the next page begins."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept_welcome()
        await line.message(41)
        kept = (await client.event("kept"))["kept"]

    async with node_client("u1@user", server=comet.url, kept=dict([kept])):
        line = await comet.accept_welcome()

    assert kept == ["appmsg.mid.u1@user", "41"]
    assert line.query["mid"] == "41"


@pytest.mark.parametrize(
    ("word", "code", "reason"),
    [
        ("-p\r\n", 4400, "heartbeat: got 5"),
        ("-a\r\n", 4401, "ticket refused"),
        ("+h\r\n", 4402, "ticket revoked"),
        ("+h\r\n", 4409, "too many connections of this key"),
    ],
)
async def test_a_refusal_ends_it(comet: Comet, word: str, code: int, reason: str) -> None:
    """Code and reason are told, and nothing is tried again: nothing keeps the process alive."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept()
        await line.say(word)
        await line.close(code, reason)

        refused = await client.state("refused")
        assert refused == {"state": "refused", "code": code, "reason": reason}


async def test_a_key_that_lives_elsewhere_is_looked_up_again(
    comet: Comet, other_comet: Comet, web: Web
) -> None:
    """After `-n` web is asked again, and the client goes there at once."""
    web.answer_server(comet.address, other_comet.address)
    async with node_client("u1@user", web=web.url, mid=5) as client:
        line = await comet.accept()
        await line.say("-n\r\n")
        await line.close(4000, "moved")
        line = await other_comet.accept_welcome()

        assert (await client.state("waiting"))["retryIn"] == 0
        assert (await client.state("online"))["server"] == other_comet.url
        assert line.query["mid"] == "5"
        assert web.asked == [("/1/server/get", {"k": "u1@user", "p": "1"}, b"")] * 2


async def test_a_move_with_an_address_needs_no_look_up(
    comet: Comet, other_comet: Comet, web: Web
) -> None:
    """`moved <url>` is obeyed at once."""
    web.answer_server(comet.address)
    async with node_client("u1@user", web=web.url, mid=5) as client:
        line = await comet.accept_welcome()
        await line.message(6)
        await line.close(4000, f"moved {other_comet.url}")
        line = await other_comet.accept_welcome()
        await line.message(7)

        assert (await client.state("waiting"))["retryIn"] == 0
        assert await client.mids(1) == [7]
        assert line.query["mid"] == "6"
        assert web.asked_for("/1/server/get") == 1


async def test_a_move_that_leads_nowhere_ends_at_web(
    comet: Comet, other_comet: Comet, nobody: str, web: Web
) -> None:
    """Nobody listens at the new address: web is asked after a pause, and the position stands."""
    web.answer_server(comet.address, other_comet.address)
    async with node_client("u1@user", web=web.url, mid=5) as client:
        line = await comet.accept_welcome()
        await line.close(4000, f"moved {nobody}")
        line = await other_comet.accept_welcome()

        moved, refused = [await client.state("waiting") for _ in range(2)]
        assert moved["code"] == 4000
        assert (refused["code"], refused["reason"]) == (1006, "cannot connect")
        assert line.query["mid"] == "5"
        assert web.asked_for("/1/server/get") == 2


async def test_no_message_yet_is_no_excuse_for_a_gap(comet: Comet, web: Web) -> None:
    """Without a starting id it resumes from the moment it began, which web knows."""
    web.answer_server(comet.address)
    web.answer("/1/time/get", {"data": {"timeid": 1785312000000000}, "ret": 0})
    async with node_client("u1@user", web=web.url):
        first = await comet.accept_welcome()
        await first.cut()
        second = await comet.accept_welcome()

    assert "mid" not in first.query
    assert second.query["mid"] == "1785312000000000"


async def test_web_may_refuse_the_key(web: Web) -> None:
    """A key that web calls wrong will stay wrong."""
    web.answer("/1/server/get", {"ret": 65534})
    async with node_client("u 1", web=web.url, mid=0) as client:
        assert (await client.state("refused"))["code"] == 4400


async def test_it_waits_for_a_web_that_is_away(comet: Comet, web: Web) -> None:
    """Whatever web answers, short of a refusal, it is asked again."""
    fine = {"data": {"server": comet.address}, "ret": 0}
    web.answer("/1/server/get", {"ret": 1001}, {"data": {"server": "?"}, "ret": 0}, fine)
    async with node_client("u1@user", web=web.url, mid=0) as client:
        assert "1001" in (await client.state("waiting"))["reason"]
        assert "strange server" in (await client.state("waiting"))["reason"]
        await comet.accept_welcome()
        assert await client.state("online")


async def test_what_is_acknowledged_is_told_also_after_a_loss(comet: Comet) -> None:
    """At once while there is a connection, and again after the next welcome."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept_welcome()
        await line.message(5)
        await client.mids(1)
        await client.tell(acknowledge=5)
        assert await line.hear() == '{"ack":[5]}'

        await line.close(1001, "going away")
        line = await comet.accept_welcome()
        assert await line.hear() == '{"ack":[5]}'


async def test_closing_says_goodbye(comet: Comet) -> None:
    """The comet sees a proper close, and the page hears "closed" and no more."""
    async with node_client("u1@user", server=comet.url) as client:
        line = await comet.accept_welcome()
        await client.state("online")
        await client.tell(close=True)

        assert await line.hear_end() == 1000
        assert await client.state("closed")
