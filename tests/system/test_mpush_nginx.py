"""Behind nginx as docs/mpush.md sets it up: the prefix is stripped, answers and streams come through."""

import re
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
import trio

from tests.web.mpush_desk import open_desk
from tests.web.world import LIMIT, Door
from tools.servers.daemon import Daemon, Missing, accepts, running
from tools.servers.nginx import nginx_command
from tools.servers.ports import free_port

GUIDE = Path(__file__).parents[2] / "docs/mpush.md"


def documented_server(folder: Path, door: Door, port: int) -> Path:
    """The configuration of the guide, on `port`, without TLS."""
    [server] = re.findall(
        r"^    server \{\n(?:    .*\n|\n)*?^    \}\n", GUIDE.read_text(), re.MULTILINE
    )
    for old, new in [
        ("listen 443 ssl", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:2246", f"{door.host}:{door.port}"),
    ]:
        assert old in server, f"the guide does not say {old}"
        server = server.replace(old, new)
    configuration = folder / "nginx.conf"
    head = "pid nginx.pid; error_log logs/error.log; events {}"
    configuration.write_text(f"{head}\nhttp {{ access_log off;\n{server} }}\n")
    return configuration


def started(folder: Path, door: Door, port: int) -> AbstractContextManager[Daemon]:
    """nginx; skips without it."""
    try:
        command = nginx_command(documented_server(folder, door, port), folder)
    except Missing as missing:
        pytest.skip(str(missing))
    return running(command, log=folder / "nginx.log", ready=lambda: accepts(port))


async def test_a_prefix_of_the_proxy_is_none_of_the_name(tmp_path: Path) -> None:
    """`/push/phone` is `phone`, encoded names too, and a stream is not kept back."""
    async with open_desk("phone", "设备") as desk:
        port = free_port()
        with ExitStack() as stack:
            nginx = started(tmp_path, desk.world.mpush, port)
            await trio.to_thread.run_sync(stack.enter_context, nginx)
            proxy = Door("127.0.0.1", port)

            answer = await proxy.ask("GET", "/push/phone?title=a%26b")
            encoded = await proxy.ask("POST", "/push/%E8%AE%BE%E5%A4%87", b"title=50%2541")
            stream = await trio.open_tcp_stream(proxy.host, port)
            async with stream:
                await stream.send_all(b"GET /push/phone/sse?since=all HTTP/1.0\r\n\r\n")
                seen = b""
                with trio.fail_after(LIMIT):
                    while b"\ndata: {" not in seen:
                        seen += await stream.receive_some()
            await trio.to_thread.run_sync(stack.close)

        assert (answer.body, encoded.body) == (b"offline\n", b"offline\n")
        assert [body.title for body in await desk.kept("phone")] == ["a&b"]
        assert [body.title for body in await desk.kept("设备")] == ["50%41"]
