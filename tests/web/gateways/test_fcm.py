"""What Google is told, and how its access tokens are kept. Contract: tests/contract/test_fcm_gateway.py."""

import json
import time

import pytest
import trio

from tests.web.gateways.fcm_case import opened
from tests.web.gateways.google import Google, google_error, invalid_grant
from tests.web.gateways.h2_server import CUT, SILENCE, Action, Reply
from web.gateways.interface import DELIVERED, Kind, Receipt


class Clock:
    """Real time, and a bit more."""

    offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


async def test_a_message_goes_to_the_project_of_the_account() -> None:
    """With the account's access token, as JSON."""
    async with opened() as case:
        assert await case.send(expires_at=time.time() + 60, collapse_id="c") == DELIVERED

        (asked,) = case.google.messages
        message = json.loads(asked.body)["message"]
        assert asked.path == "/v1/projects/shop/messages:send"
        assert asked.headers["content-type"] == "application/json"
        assert message["token"] == case.device().token
        assert message["notification"] == {"title": "Ann", "body": "hi"}
        assert message["data"] == {"mid": "7"}
        assert message["android"]["collapse_key"] == "c"


async def test_an_access_token_is_exchanged_once_for_all() -> None:
    """Those who need it at the same time wait for one exchange; nobody asks before it is nearly over."""
    clock = Clock()
    async with opened(now=clock) as case:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(case.send, number)
        assert (case.google.exchanges, len(case.google.messages)) == (1, 20)

        clock.offset = 3000
        await case.send()
        assert case.google.exchanges == 1
        clock.offset = 3590
        await case.send()
        assert case.google.exchanges == 2


async def test_an_access_token_that_is_not_taken_is_replaced() -> None:
    """Google may withdraw it before its time."""
    async with opened() as case:
        assert await case.send() == DELIVERED
        case.google.valid.clear()

        assert (await case.send()).kind is Kind.RETRY
        assert await case.send() == DELIVERED
        assert case.google.exchanges == 2


async def test_an_account_that_is_not_known_is_a_wrong_credential() -> None:
    """Its key was deleted; no message was sent."""
    async with opened() as case:
        case.google.tokens = invalid_grant()

        receipt = await case.send()

        assert receipt == Receipt(Kind.MISCONFIGURED, "the token endpoint says invalid_grant")
        assert case.google.messages == []


@pytest.mark.parametrize(
    "said",
    [
        CUT,
        Reply(503),
        Reply(200),
        Reply(200, [], [b"<html>"]),
        Reply(200, [], [b"{}"]),
        Reply(200, [], [b'{"access_token":"a\\r\\nX: y"}']),
        google_error(500, "INTERNAL"),
    ],
)
async def test_a_token_endpoint_that_fails_is_asked_again(said: Reply | Action) -> None:
    """No message is sent without a token, and none is lost."""
    async with opened() as case:
        case.google.tokens = said
        assert (await case.send()).kind is Kind.RETRY
        assert case.google.messages == []

        case.google.tokens = None
        assert await case.send() == DELIVERED


async def test_those_who_wait_for_a_token_end_in_time() -> None:
    """A hundred do not wait a hundred times as long as one."""
    google = Google(tokens=SILENCE)
    async with opened(google, patience=0.5) as case:
        receipts: list[Receipt] = []

        async def send() -> None:
            receipts.append(await case.send())

        with trio.fail_after(40):  # one after the other they would need 50
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(send)

        assert {receipt.kind for receipt in receipts} == {Kind.RETRY}
