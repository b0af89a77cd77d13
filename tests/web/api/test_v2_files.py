"""Files of /v2: taken in, handed out, deleted; and who may."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.units import Duration, Size
from appmodel.orm.files import FileLink, StoredFile
from appmodel.runtime.config import Password
from tests.web.group_people import add_users
from tests.web.phones import an_application, log_in
from tests.web.world import Answer, World, open_world, web_config
from tools.servers.daemon import Missing
from tools.servers.s3 import ACCESS_KEY, SECRET_KEY, s3_server
from web.config import AppConfig, FilesConfig, S3Config

LIMIT = 40.0  # seconds: a test that hangs says where

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3000  # 768 kB: three pieces
KIB = 1024


def files(folder: Path, **changes: Any) -> Any:
    return web_config(files=FilesConfig(folder=folder, **changes))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Users ann and bob of tenant t1, eve of t2; an application of each."""
    async with open_world(auth="on", config=files(tmp_path)) as world:
        await add_users(world.context.database, "ann", "bob", tenant="t1")
        await add_users(world.context.database, "eve", tenant="t2")
        yield world


async def upload(
    world: World, data: bytes, token: str, name: str = "a.png", kind: str = "image/png", **more: Any
) -> Answer:
    return await world.api.ask(
        "POST",
        f"/v2/files?{urlencode({'name': name} | more)}",
        data,
        bearer=token,
        headers={"Content-Type": kind},
    )


async def get(world: World, path: str, token: str = "") -> Answer:
    return await world.api.ask("GET", path, bearer=token)


def target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(LIMIT):
        while not condition():  # noqa: ASYNC110  # a folder tells nobody
            await trio.sleep(0.01)


async def rows(world: World) -> int:
    count = sa.select(sa.func.count()).select_from(StoredFile)
    return await world.context.database.read(lambda session: session.scalar(count) or 0)


async def test_a_picture_goes_up_and_down(world: World, tmp_path: Path) -> None:
    """Byte by byte; the answer says what a message needs; only we can read what lies on the disk."""
    ann = await log_in(world, "ann")

    answer = await upload(world, PICTURE, ann.token)
    said = answer.json()
    read = await get(world, target(said["url"]))

    assert answer.status == 201
    assert (said["size"], said["file_name"]) == (len(PICTURE), "a.png")
    assert said["sha256"] == sha256(PICTURE).hexdigest()
    assert said["url"] == f"http://{said['file_url']}"
    assert len(said["file_url"]) <= 255
    assert (read.status, read.body) == (200, PICTURE)
    assert read.headers["content-type"] == "image/png"
    assert read.headers["content-disposition"].startswith("inline;")
    (file,) = kept(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def letter(described: Any) -> dict[str, Any]:
    return {
        "fromUserName": "ann@user",
        "toUserName": "bob@user",
        "msgType": 2,
        "content": "",
        "objectContent": {"responseUpload": described},
        "expire": 600,
    }


async def links(world: World) -> list[tuple[str, str, str]]:
    columns = FileLink.sender_id, FileLink.file_id, FileLink.file_url
    return await world.context.database.read(
        lambda session: [(a, b, c) for a, b, c in session.execute(sa.select(*columns))]
    )


async def test_an_upload_is_sent_as_a_message(tmp_path: Path) -> None:
    """Its answer fits into objectContent.responseUpload, and who mentioned it is noted soon after."""
    async with open_world(auth="on", config=files(tmp_path, flush=Duration(0))) as world:
        await add_users(world.context.database, "ann", "bob")
        ann = await log_in(world, "ann")
        said = (await upload(world, PICTURE, ann.token)).json()
        described = {
            "fid": said["fid"],
            "fileName": said["file_name"],
            "fileUrl": said["file_url"],
            "size": said["size"],
        }

        answer = await ann.ask("push", msg=letter(described))

        assert answer["baseResponse"]["ret"] == 0, answer
        with trio.fail_after(LIMIT):
            while not (found := await links(world)):  # noqa: ASYNC110  # a table tells nobody
                await trio.sleep(0.01)
        assert found == [("ann", said["fid"], said["file_url"])]


@pytest.mark.parametrize("field", ["fid", "fileName", "fileUrl", "size"])
async def test_a_message_with_half_a_file_is_not_sent(world: World, field: str) -> None:
    """65534 names what is missing, and nobody gets anything."""
    ann = await log_in(world, "ann")
    whole = {"fid": "1", "fileName": "a", "fileUrl": "weed:8080/1", "size": 1}

    answer = await ann.ask("push", msg=letter({k: v for k, v in whole.items() if k != field}))

    assert answer["baseResponse"]["ret"] == 65534
    assert f"msg.objectContent.responseUpload.{field}" in answer["baseResponse"]["errMsg"]
    assert world.comet.calls == []


async def test_who_may_read(world: World) -> None:
    """Whoever has the address; with a credential, whoever is of the same tenant."""
    ann = await log_in(world, "ann")
    fid = (await upload(world, PICTURE, ann.token)).json()["fid"]
    callers = {
        "bob": (await log_in(world, "bob")).token,
        "eve": (await log_in(world, "eve")).token,
        "app of t1": await an_application(world, "a1"),
        "app of t2": await an_application(world, "a2", tenant="t2"),
        "operator": world.token("admin"),
        "push only": world.token("push"),
        "nobody": "",
    }

    statuses = {
        who: (await get(world, f"/v2/files/{fid}", token)).status for who, token in callers.items()
    }
    by_tenant = await get(world, f"/v2/files/{fid}?tenant=t1", callers["operator"])
    other = await get(world, f"/v2/files/{fid}?tenant=t1", callers["eve"])

    assert statuses == {
        "bob": 200,
        "eve": 404,
        "app of t1": 200,
        "app of t2": 404,
        "operator": 404,
        "push only": 403,
        "nobody": 401,
    }
    assert (by_tenant.status, other.status) == (200, 403)


async def test_an_address_that_was_changed_opens_nothing(world: World) -> None:
    """Another time, another file, another signature, or none of it."""
    ann = await log_in(world, "ann")
    one = urlsplit((await upload(world, b"one", ann.token)).json()["url"])
    two = urlsplit((await upload(world, b"two", ann.token)).json()["url"])
    expires, sign = (part.partition("=")[2] for part in one.query.split("&"))
    tried = [
        f"{one.path}?expires={int(expires) + 1}&sign={sign}",
        f"{one.path}?expires={expires}&sign={'0' * 32}",
        f"{two.path}?{one.query}",
        f"{one.path}?expires={expires}",
        f"{one.path}?sign={sign}",
        f"{one.path}?expires=&sign=",
    ]

    statuses = [(await get(world, each)).status for each in tried]

    assert statuses == [401] * len(tried)
    assert (await get(world, target(one.geturl()))).body == b"one"


async def test_an_address_ends(tmp_path: Path) -> None:
    """With the time in it; a credential still opens the file until it is cleaned away."""
    config = web_config(
        files=FilesConfig(folder=tmp_path), app=AppConfig(port=0, expire=Duration(0))
    )
    async with open_world(auth="on", config=config) as world:
        await add_users(world.context.database, "ann", tenant="t1")
        ann = await log_in(world, "ann")
        said = (await upload(world, PICTURE, ann.token)).json()

        signed = await get(world, target(said["url"]))
        own = await get(world, f"/v2/files/{said['fid']}", ann.token)

    assert (signed.status, own.status) == (401, 200)


async def test_who_may_delete(world: World, tmp_path: Path) -> None:
    """Its owner, an operator, who may change the tenant's data; nobody else."""
    ann, bob, eve = [await log_in(world, uid) for uid in ("ann", "bob", "eve")]
    plain, sync = await an_application(world, "a1"), await an_application(world, "a2", "sync")

    async def delete(token: str, query: str = "") -> int:
        fid = (await upload(world, b"x", ann.token)).json()["fid"]
        answer = await world.api.ask("DELETE", f"/v2/files/{fid}{query}", bearer=token)
        return answer.status

    refused = [await delete(token) for token in (bob.token, eve.token, plain, "")]
    left = len(kept(tmp_path))
    done = [await delete(ann.token), await delete(sync)]
    done.append(await delete(world.token("admin"), "?tenant=t1"))

    assert (refused, done) == ([403, 404, 403, 401], [204, 204, 204])
    assert (left, len(kept(tmp_path)), await rows(world)) == (4, 4, 4)


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "", "x"])
async def test_nothing_runs_as_ours(world: World, kind: str) -> None:
    """What a browser might run is a download without a type, in a sandbox, whatever it was called."""
    ann = await log_in(world, "ann")
    said = (await upload(world, b"<script>", ann.token, 'a".html\\é', kind)).json()

    read = await get(world, target(said["url"]))

    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["content-disposition"] == (
        "attachment; filename=\"a_.html__\"; filename*=UTF-8''a%22.html%5C%C3%A9"
    )
    assert "sandbox" in read.headers["content-security-policy"]
    assert read.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "fid", ["..%2f..%2fapp.db", "%2e%2e", "ABC", "0" * 31, "0" * 33, "0" * 31 + "G", "%00" * 32]
)
async def test_an_id_is_never_a_path(world: World, fid: str) -> None:
    """Nothing but our own form is looked for."""
    token = world.token("admin")

    read = await get(world, f"/v2/files/{fid}", token)
    deleted = await world.api.ask("DELETE", f"/v2/files/{fid}", bearer=token)

    assert {read.status, deleted.status} <= {404, 405, 422}
    assert read.status != 200


async def test_names_are_no_paths_either(world: World, tmp_path: Path) -> None:
    """A name is for people: it comes back as it is, and names nothing on the disk."""
    ann = await log_in(world, "ann")
    name = "../../../etc/passwd"

    said = (await upload(world, b"x", ann.token, name)).json()

    assert said["file_name"] == name
    (file,) = kept(tmp_path)
    assert file.name == said["fid"]


async def test_what_is_wrong_is_named(world: World, tmp_path: Path) -> None:
    """A name that is missing, too long or not text; no bytes; a parameter that there is not."""
    token = (await log_in(world, "ann")).token
    asked = [
        ("/v2/files", b"x"),
        ("/v2/files?name=", b"x"),
        (f"/v2/files?name={'a' * 256}", b"x"),
        ("/v2/files?name=a%00b", b"x"),
        ("/v2/files?name=a&nmae=b", b"x"),
        ("/v2/files?name=a", b""),
    ]

    answers = [await world.api.ask("POST", path, body, bearer=token) for path, body in asked]

    assert [(a.status, a.json()["field"]) for a in answers] == [
        (422, "name"),
        (422, "name"),
        (422, "name"),
        (422, "name"),
        (422, "nmae"),
        (422, "body"),
    ]
    assert (kept(tmp_path), await rows(world)) == ([], 0)


async def test_only_who_is_known_may_upload(world: World, tmp_path: Path) -> None:
    """And only into the own tenant."""
    eve = await log_in(world, "eve")

    nobody = await upload(world, b"x", "")
    push = await upload(world, b"x", world.token("push"))
    foreign = await upload(world, b"x", eve.token, tenant="t1")
    operator = await upload(world, b"x", world.token("admin"), tenant="t1")

    assert [a.status for a in (nobody, push, foreign, operator)] == [401, 403, 403, 201]
    assert len(kept(tmp_path)) == 1


async def test_a_file_has_a_limit(tmp_path: Path) -> None:
    """Said at once if the head says how long it is, else when it is reached; nothing of it stays."""
    async with open_world(config=files(tmp_path, max_size=Size(1000))) as world:
        exact = await upload(world, b"x" * 1000, "")
        over = await upload(world, b"x" * 1001, "")
        chunked = await world.api.exchange(
            b"POST /v2/files?name=a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
        )

    assert (exact.status, over.status) == (201, 413)
    assert chunked.startswith(b"HTTP/1.1 413")
    assert len(kept(tmp_path)) == 1


async def test_a_tenant_has_a_limit(tmp_path: Path) -> None:
    """Of all its files together, 4 KiB more for each; what is deleted makes room."""
    limit = Size(2 * (4096 + 1000))
    async with open_world(config=files(tmp_path, tenant_size=limit)) as world:
        first = (await upload(world, b"x" * 1000, "", tenant="t1")).json()
        second = await upload(world, b"x" * 1001, "", tenant="t1")
        other = await upload(world, b"x" * 1001, "", tenant="t2")
        third = await upload(world, b"x" * 1000, "", tenant="t1")
        fourth = await upload(world, b"x", "", tenant="t1")
        await world.api.ask("DELETE", f"/v2/files/{first['fid']}?tenant=t1")
        fifth = await upload(world, b"x", "", tenant="t1")

    statuses = [answer.status for answer in (second, other, third, fourth, fifth)]
    assert statuses == [429, 201, 201, 429, 201]


async def test_uploads_that_are_under_way_have_a_limit(tmp_path: Path) -> None:
    """One caller's, so that he does not keep the others out; they are free again when they end."""
    config = files(tmp_path, uploads_each=2)
    head = b"POST /v2/files?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
    async with open_world(config=config) as world, trio.open_nursery() as nursery:
        for _ in range(2):
            stream = await trio.open_tcp_stream(world.api.host, world.api.port)
            nursery.start_soon(_hold, stream, head)
        await until(lambda: len(kept(tmp_path)) == 2)

        refused = await upload(world, b"x", "")
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await until(lambda: not kept(tmp_path))
            again = await upload(world, b"x", "")

    assert (refused.status, again.status) == (429, 201)


async def _hold(stream: trio.SocketStream, data: bytes) -> None:
    async with stream:
        await stream.send_all(data)
        await trio.sleep_forever()


async def test_who_is_slow_is_given_up(tmp_path: Path) -> None:
    """An upload has a time as a whole, however often a byte comes; nothing of it stays."""
    config = files(tmp_path, upload_timeout=Duration(0.3))
    head = b"POST /v2/files?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
    async with open_world(config=config) as world:
        with trio.fail_after(LIMIT):
            answer = await world.api.exchange(head)

    assert answer.startswith(b"HTTP/1.1 408")
    assert kept(tmp_path) == []


async def test_a_client_that_leaves_leaves_nothing(tmp_path: Path) -> None:
    """Half a file is none."""
    head = b"POST /v2/files?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"
    async with open_world(config=files(tmp_path)) as world:
        async with await trio.open_tcp_stream(world.api.host, world.api.port) as stream:
            await stream.send_all(head)
            await until(lambda: bool(kept(tmp_path)))

        await until(lambda: not kept(tmp_path))
        assert await rows(world) == 0


async def test_a_full_disk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, which says so and shows no path; nothing stays, and the next one is good."""
    token = (await log_in(world, "ann")).token
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _full)
        refused = await upload(world, b"x", token)
    again = await upload(world, b"x", token)

    assert (refused.status, refused.json()["code"]) == (503, "unavailable")
    assert "no room left" in refused.json()["detail"]
    assert str(tmp_path) not in refused.body.decode()
    assert again.status == 201
    assert (len(kept(tmp_path)), await rows(world)) == (1, 1)


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_bytes_that_cannot_be_kept_leave_no_row(world: World, tmp_path: Path) -> None:
    """The place of the files is not ours to write: 503, and the tenant's room is as it was."""
    token = (await log_in(world, "ann")).token
    (await upload(world, b"x", token)).json()
    for digit in range(256):  # where a folder is needed, a file lies
        place = tmp_path / f"{digit:02x}"
        if not place.exists():
            place.write_bytes(b"")
    before = await rows(world)

    answers = [await upload(world, b"x", token) for _ in range(3)]

    lost = [answer for answer in answers if answer.status == 503]
    assert lost, [answer.status for answer in answers]
    assert await rows(world) == before + 3 - len(lost)
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_pages_of_the_company_may_show_a_picture(tmp_path: Path) -> None:
    """A browser says that another site asks; the address is the credential."""
    async with open_world(auth="on", config=files(tmp_path)) as world:
        await add_users(world.context.database, "ann")
        ann = await log_in(world, "ann")
        said = (await upload(world, PICTURE, ann.token)).json()
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}

        read = await world.api.ask("GET", target(said["url"]), headers=headers)

    assert read.status == 200
    assert read.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_a_preflight_of_an_allowed_page(home: World) -> None:
    """Pages of this machine may upload from a browser."""
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}

    answer = await home.api.ask("OPTIONS", "/v2/files", headers=headers)

    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_who_leaves_in_the_middle_hurts_nobody(world: World, tmp_path: Path) -> None:
    """A reader that hangs up ends his download; the next one has all of it."""
    ann = await log_in(world, "ann")
    path = target((await upload(world, PICTURE * 10, ann.token)).json()["url"])
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    for _ in range(3):
        async with await trio.open_tcp_stream(world.api.host, world.api.port) as stream:
            await stream.send_all(request)
            assert await stream.receive_some(100)
    again = await get(world, path)

    assert again.body == PICTURE * 10


async def test_files_of_a_node_in_s3(tmp_path: Path) -> None:
    """Up, down and away again; nothing of it stays on the node."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(s3_server(tmp_path))
        except Missing as missing:
            pytest.skip(str(missing))
        server.make_bucket("files")
        s3 = S3Config(
            endpoint=server.url,
            bucket="files",
            access_key=ACCESS_KEY,
            secret_key=Password(SECRET_KEY),
        )
        folder = tmp_path / "files"
        async with open_world(config=files(folder, store="s3", s3=s3)) as world:
            said = (await upload(world, PICTURE, "")).json()
            read = await get(world, target(said["url"]))
            on_disk = kept(folder)
            deleted = await world.api.ask("DELETE", f"/v2/files/{said['fid']}")
            gone = await get(world, target(said["url"]))

    assert (read.body, deleted.status, gone.status) == (PICTURE, 204, 404)
    assert on_disk == []
