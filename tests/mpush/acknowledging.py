"""Items 9 to 11 of the checklist: what an acknowledgement means, and what means nothing."""

import pytest

from tests.mpush.world import World

JUNK = [
    *("", "ping", "null", "1", '"x"', "[]", "{", '{"cmd":5}', '{"cmd":"NOPE"}', "[" * 5000),
    *('{"cmd":"SENDMSG_CB"}', '{"cmd":"SENDMSG_CB","data":{}}', '{"cmd":"SENDMSG_CB","data":null}'),
    '{"cmd":"SENDMSG_CB","data":{"midList":5}}',
    '{"cmd":"SENDMSG_CB","data":{"midList":[{},null,-1,"1e9","99999999999999999999",true,1.5]}}',
]


async def waiting(world: World, count: int) -> tuple[str, list[str]]:
    """A device that is not there, and the mids of what waits for it."""
    name = await world.absent()
    return name, [await world.push(f"/{name}?title={number}") for number in range(count)]


async def left(world: World, name: str) -> list[str]:
    """The mids that a device gets at its next login. One more is pushed behind them, so that their end is seen."""
    phone = await world.device(name)
    asked = world.asks("GET", f"/{name}?title=last")
    mids: list[str] = []
    while True:
        for message in await phone.messages():
            if message["title"] == "last":
                await phone.acks(message["mid"])
                assert (await asked.answer()).body == world.word("ok")
                return mids
            mids.append(message["mid"])


class Acknowledging:
    """The suite."""

    async def test_09_part_of_a_list(self, world: World) -> None:
        """9. What was acknowledged comes no more, the rest comes at every login; in any order."""
        name, mids = await waiting(world, 6)
        phone = await world.device(name)
        assert await phone.mids(6) == mids

        await phone.acks(mids[4], mids[1])
        await phone.acks(mids[0])
        await phone.says_pong()

        rest = [mids[2], mids[3], mids[5]]
        assert await left(world, name) == rest
        assert await left(world, name) == rest

    async def test_09_twice(self, world: World) -> None:
        """9. In one list and in two: it takes nothing else with it (the original loses the last message)."""
        name, mids = await waiting(world, 3)
        phone = await world.device(name)
        assert await phone.mids(3) == mids

        await phone.acks(mids[0], mids[0])
        await phone.acks(mids[0])
        await phone.says_pong()

        assert await left(world, name) == mids[1:]

    async def test_09_of_another_device(self, world: World) -> None:
        """9. Nobody acknowledges for another: neither is its message done, nor does its caller hear `ok` of it."""
        name, other = world.names(2)
        phone, stranger = await world.device(name), await world.device(other)
        asked = world.asks("GET", f"/{name}?title=x")
        [message] = await phone.messages()

        await stranger.acks(message["mid"])
        await stranger.says_pong()

        await world.reaches(f"/{other}", stranger)  # goes the way that the news would
        assert not asked.done.is_set()
        again = await world.device(name)
        assert await again.mids(1) == [message["mid"]]
        await again.acks(message["mid"])
        assert (await asked.answer()).body == world.word("ok")

    async def test_09_by_numbers(self, world: World) -> None:
        """9. Many write a mid as one; it counts for the message, too (in the original only for the caller)."""
        name, mids = await waiting(world, 3)
        phone = await world.device(name)
        assert await phone.mids(3) == mids
        asked = world.asks("GET", f"/{name}?title=x")
        [message] = await phone.messages()

        await phone.acks(int(mids[0]), mids[1], int(message["mid"]))

        assert (await asked.answer()).body == world.word("ok")
        assert await left(world, name) == [mids[2]]

    async def test_09_in_a_binary_frame(self, world: World) -> None:
        """9. It counts, as in the original."""
        name, mids = await waiting(world, 2)
        phone = await world.device(name)
        assert await phone.mids(2) == mids

        ack = f'{{"cmd":"SENDMSG_CB","data":{{"midList":["{mids[0]}"]}}}}'
        await phone.say(ack.encode(), opcode=0x2)
        await phone.says_pong()

        assert await left(world, name) == mids[1:]

    async def test_09_on_a_connection_that_lost(self, world: World) -> None:
        """9. What its device had acknowledged before counts; what it says after its close does not harm."""
        name, mids = await waiting(world, 2)
        loser = await world.device(name)
        assert await loser.mids(2) == mids

        await loser.acks(mids[0])
        await loser.says_pong()
        winner = await world.device(name)

        assert await winner.mids(1) == mids[1:]
        assert await loser.ends() == b""

    async def test_10_junk_never_closes_a_connection(self, world: World) -> None:
        """10. Text or binary, it is ignored, and what comes behind it counts."""
        name = world.name()
        phone = await world.device(name)

        for junk in JUNK:
            await phone.say(junk)
            await phone.say(junk.encode() + b"\xff", opcode=0x2)

        await world.reaches(f"/{name}", phone)

    @pytest.mark.parametrize(
        ("broken", "code"),
        [
            (b"\x81\x81\0\0\0\0\xff", 1007),  # no UTF-8
            (b"\x80\x81\0\0\0\0x", 1002),  # goes on with nothing
            (b"\x01\x81\0\0\0\0x\x81\x81\0\0\0\0y", 1002),  # begins within another
            (b"\x81\x01x", 1002),  # not masked
        ],
    )
    async def test_10_a_broken_frame_ends_its_connection(
        self, world: World, broken: bytes, code: int
    ) -> None:
        """10. And nothing else: its device comes back, and has lost nothing."""
        name, mids = await waiting(world, 2)
        phone = await world.device(name)
        assert await phone.mids(2) == mids

        await phone.send(broken)

        assert (await phone.ends())[:2] == code.to_bytes(2, "big")
        assert await left(world, name) == mids

    async def test_10_a_text_may_come_in_pieces(self, world: World) -> None:
        """10. As WebSocket allows, with a ping between them."""
        name = world.name()
        phone = await world.device(name)
        asked = world.asks("GET", f"/{name}?title=x")
        [message] = await phone.messages()
        text = b'{"cmd":"SENDMSG_CB","data":{"midList":["%b"]}}' % message["mid"].encode()
        first, rest = text[:9], text[9:]

        await phone.send(bytes([0x01, 0x80 | len(first)]) + bytes(4) + first)
        await phone.says_pong(b"between")
        await phone.send(bytes([0x80, 0x80 | len(rest)]) + bytes(4) + rest)

        assert (await asked.answer()).body == world.word("ok")

    async def test_11_a_ping_is_answered(self, world: World) -> None:
        """11. With its payload: before the token, before the name, and after; once."""
        name = world.name()
        phone = await world.phone()

        await phone.says_pong(b"one")
        await phone.say("mpush")
        assert '"code":200' in await phone.hears()
        await phone.says_pong(b"two")
        await phone.say(name)
        assert '"LOGIN"' in await phone.hears()
        await phone.says_pong(b"three" * 20)
        await phone.says_pong()
