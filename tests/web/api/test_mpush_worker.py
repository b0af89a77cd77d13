"""What the service worker of Mpush's page says, on the port that has the page."""

import json

import pytest

from tests.web.mpush_desk import open_desk

MID = "1557901952810"


async def test_a_copy_that_came_is_told_where_the_page_is() -> None:
    """By the text that AUTH gave; who has none, or another command, or comes from elsewhere, is refused by name."""
    async with open_desk("mpush/") as desk:
        said = {"cmd": "AUTH", "data": {"token": "mpush", "name": "phone"}}
        auth = (await desk.ask("POST", "/", json.dumps(said).encode())).json()["data"]["auth"]
        came = {"cmd": "MESSAGE_WEBPUSH_CALLBACK", "auth": auth, "data": {"mid": MID}}
        api = desk.world.api
        heard = await api.ask("POST", "/mpush/", json.dumps(came).encode())
        bad: list[object] = [came | {"auth": ""}, came | {"auth": "x.y.z"}, said, []]
        refused = [await api.ask("POST", "/mpush/", json.dumps(each).encode()) for each in bad]
        others = [
            await api.ask("POST", "/mpush/", body, headers=headers)
            for body, headers in (
                (b"cmd=MESSAGE_WEBPUSH_CALLBACK&title=x", {}),
                (json.dumps(came).encode(), {"Origin": "https://elsewhere.example"}),
            )
        ]
        pushed = await desk.kept("mpush/")

    assert (heard.status, heard.body) == (200, b'{"cmd":"INFO","data":"ok"}')
    assert [each.status for each in refused] == [401, 401, 422, 422]
    assert [each.status for each in others] == [422, 403]
    assert pushed == []


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_the_page_takes_nothing_else(method: str) -> None:
    """It is a page."""
    async with open_desk() as desk:
        assert (await desk.world.api.ask(method, "/mpush/", b"{}")).status in {404, 405}
