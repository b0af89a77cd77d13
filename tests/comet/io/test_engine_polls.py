"""Long polling: what a GET waits for, what a POST brings, and how each ends."""

from tests.comet.engine_world import open_engine


async def test_what_is_posted_is_heard_and_what_is_said_is_polled() -> None:
    """In both revisions, each in its own payload."""
    async with open_engine() as world:
        client, target = await world.begin(4)

        assert (await client.post(target, b"4hello\x1ebAQIDBA==")).body == b"ok"
        assert (await client.get(target)).body == b"4hello\x1ebAQIDBA=="
        assert world.speaker.messages == ["hello", b"\x01\x02\x03\x04"]
