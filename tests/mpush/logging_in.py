"""Items 1 to 3, 8 and 14 of the checklist: how a device comes in, and which of its connections counts."""

import pytest

from tests.comet.devices import AUTHENTICATED, TOKEN, TOKEN_INVALID
from tests.mpush.world import World

EMPTY = b""  # the payload of a close frame without a code


def login_of(name: str) -> str:
    """The frame that greets it."""
    return f'{{"cmd":"LOGIN","data":{{"name":"{name}"}}}}'


class LoggingIn:
    """The suite."""

    async def test_01_token_then_id(self, world: World) -> None:
        """1. One after the other, on any path; a wrong token, never trimmed, keeps the connection."""
        name = world.name()
        phone = await world.phone(target="/mpush?any=thing")

        for wrong in ("", "wrong", f" {TOKEN}", f"{TOKEN}\n", "{}", "[1]"):
            await phone.say(wrong)
            assert await phone.hears() == TOKEN_INVALID
        await phone.say(TOKEN)
        assert await phone.hears() == AUTHENTICATED
        await phone.say(name)
        assert await phone.hears() == login_of(name)

    async def test_01_token_and_id_at_once(self, world: World) -> None:
        """1. Nobody has to wait for an answer; what comes behind them counts as well."""
        name = world.name()
        phone = await world.phone()

        for text in ("wrong", TOKEN, name, '{"cmd":"SENDMSG_CB","data":{"midList":["1"]}}'):
            await phone.say(text)

        heard = [await phone.hears() for _ in range(3)]
        assert heard == [TOKEN_INVALID, AUTHENTICATED, login_of(name)]
        await phone.says_pong()

    async def test_01_an_id_that_none_can_have(self, world: World) -> None:
        """1. Empty or binary: nothing happens, and the next text is the id (the original registers them)."""
        name = world.name()
        phone = await world.phone()
        await phone.say(TOKEN)
        assert await phone.hears() == AUTHENTICATED

        await phone.say("")
        await phone.say(name.encode(), opcode=0x2)
        await phone.say(name)

        assert await phone.hears() == login_of(name)
        await phone.says_pong()

    async def test_02_a_binary_token_is_none(self, world: World) -> None:
        """2. 403, though it has the right bytes; the same as text comes in."""
        phone = await world.phone()

        await phone.say(TOKEN.encode(), opcode=0x2)
        assert await phone.hears() == TOKEN_INVALID

        await phone.log_in(world.name())

    async def test_03_login_comes_before_messages(self, world: World) -> None:
        """3. Then all that waited, in one frame, in its order; byte for byte."""
        name = await world.absent()
        mids = [await world.push(f"/{name}?title=t{n}&content=c") for n in range(3)]
        phone = await world.phone(world.place.others(name)[0])

        await phone.say(TOKEN)
        await phone.say(name)

        assert await phone.hears() == AUTHENTICATED
        assert await phone.hears() == login_of(name)
        items = ",".join(
            f'{{"title":"t{n}","content":"c","mid":"{mid}"}}' for n, mid in enumerate(mids)
        )
        assert await phone.hears() == f'{{"cmd":"MESSAGE","data":{{"msgList":[{items}]}}}}'

    async def test_08_a_second_login_closes_the_first(self, world: World) -> None:
        """8. With an empty Close frame; the backlog goes to the second. From any comet to any other, newest wins."""
        name = world.name()
        comets = list(world.place.comets)
        phone = await world.device(name, comets[0])
        asked = world.asks("GET", f"/{name}?title=x")
        [message] = await phone.messages()

        for comet in [*comets, *reversed(comets)]:
            newer = await world.device(name, comet)
            assert await phone.ends() == EMPTY
            assert await newer.messages() == [message]
            phone = newer

        await phone.acks(message["mid"])
        assert (await asked.answer()).body == world.word("ok")

    @pytest.mark.parametrize("spread", [False, True], ids=["one comet", "every comet"])
    async def test_14_dead_peers_are_taken_over(self, world: World, *, spread: bool) -> None:
        """14. Three that nobody answers for, then one that lives: it is online, whatever closes when."""
        name = world.name()
        comets = list(world.place.comets) if spread else world.place.others(name)[:1]
        for number in range(3):  # they read LOGIN, and nothing ever after: no Close is answered
            await world.device(name, comets[number % len(comets)])

        for comet in comets:
            await world.reaches(f"/{name}", await world.device(name, comet))
