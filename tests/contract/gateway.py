"""What every gateway keeps to, against a local server that speaks as its provider does.

class TestMyGateway(GatewayContract):
    def open_case(self, ...): ...
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Protocol

import pytest
import trio
import trio.testing

from tests.web.gateways.h2_server import (
    CUT,
    CUT_IN_ANSWER,
    GOODBYE,
    NOISE,
    NONSENSE,
    RESET,
    SILENCE,
    Action,
    H2Server,
    Reply,
)
from web.core.notifications import Device, Notification
from web.gateways.interface import DELIVERED, Gateway, Kind, Receipt

PATIENCE = 100.0  # seconds after which a test has failed: the machine may be busy
SHORT = 0.5  # seconds that a gateway waits, where its waiting is what is tested


class Case(Protocol):
    """A gateway, and the provider behind it."""

    @property
    def server(self) -> H2Server:
        """The provider's connections."""

    @property
    def gateway(self) -> Gateway:
        """The one under test."""

    def device(self, number: int = 1) -> Device:
        """One that the provider knows."""

    def say(self, reply: Reply | Action | None) -> None:
        """What the provider answers from now on; None = it takes everything."""

    def delivered(self) -> list[dict[str, Any]]:
        """What the provider was given for devices, as the device would read it."""


def notification(**fields: Any) -> Notification:
    """Ann says hi."""
    return Notification(
        **{"message_id": 7, "user_id": "u1", "title": "Ann", "text": "hi", **fields}
    )


class GatewayContract:
    """The suite."""

    GONE: ClassVar[Sequence[tuple[Reply, float | None]]]  # the token is dead, since when
    BUSY: ClassVar[Sequence[tuple[Reply, float | None]]]  # not now, but in so many seconds
    REFUSED: ClassVar[Sequence[Reply]]
    MISCONFIGURED: ClassVar[Sequence[Reply]]
    ERROR: ClassVar[Reply]  # one with a body of some size
    MANY: ClassVar[int]  # such answers in a row

    def open_case(self, patience: float = PATIENCE) -> AbstractAsyncContextManager[Case]:
        """A new provider, and a gateway that waits `patience` seconds for it."""
        raise NotImplementedError

    @pytest.fixture
    async def case(self) -> Any:
        """Where nothing is slow."""
        with trio.fail_after(PATIENCE):
            async with self.open_case() as case:
                yield case

    @pytest.fixture
    async def hasty(self) -> Any:
        """Where the gateway gives up soon."""
        with trio.fail_after(PATIENCE):
            async with self.open_case(SHORT) as case:
                yield case

    async def test_what_is_delivered_has_the_message_id(self, case: Case) -> None:
        """By it the app finds the message, and knows what it has seen."""
        receipt = await case.gateway.send(case.device(), notification(message_id=2**52), 3)

        assert receipt == DELIVERED
        (payload,) = case.delivered()
        assert payload["mid"] in (2**52, str(2**52))

    async def test_dead_tokens_are_told_with_their_time(self, case: Case) -> None:
        """As the provider says it; the others are not touched."""
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED
        for reply, at in self.GONE:
            case.say(reply)

            receipt = await case.gateway.send(case.device(2), notification(), None)

            assert (receipt.kind, receipt.at) == (Kind.GONE, at), reply

    async def test_a_busy_provider_is_asked_later(self, case: Case) -> None:
        """When it says; and what it could not take now it takes then."""
        for reply, after in self.BUSY:
            case.say(reply)

            receipt = await case.gateway.send(case.device(), notification(), None)

            assert (receipt.kind, receipt.after) == (Kind.RETRY, after), reply
        case.say(None)
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED

    async def test_what_is_refused_is_not_tried_again(self, case: Case) -> None:
        """The same would be refused again."""
        for reply in self.REFUSED:
            case.say(reply)

            receipt = await case.gateway.send(case.device(), notification(), None)

            assert receipt.kind is Kind.REFUSED, reply

    async def test_a_wrong_credential_is_told_from_a_wrong_notification(self, case: Case) -> None:
        """No phone is at fault, and none is forgotten."""
        for reply in self.MISCONFIGURED:
            case.say(reply)

            receipts = [
                await case.gateway.send(case.device(), notification(), None) for _ in range(2)
            ]

            assert receipts[-1].kind is Kind.MISCONFIGURED, reply

    @pytest.mark.parametrize("action", [CUT, CUT_IN_ANSWER, RESET, GOODBYE, NOISE])
    async def test_a_connection_that_ends_is_one_to_try_again(
        self, case: Case, action: Action
    ) -> None:
        """In whatever way; and the next notification gets a new one."""
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED
        case.say(action)

        receipt = await case.gateway.send(case.device(), notification(), None)

        assert receipt.kind is Kind.RETRY
        case.say(None)
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED

    async def test_what_ends_a_connection_ends_all_that_wait_for_it(self, case: Case) -> None:
        """Nobody waits for an answer that cannot come."""
        case.say(CUT)
        case.server.hold = True
        receipts = []

        async def send(number: int) -> None:
            device = case.device(number)
            receipts.append(await case.gateway.send(device, notification(), None))

        async with trio.open_nursery() as nursery:
            for number in range(1, 11):
                nursery.start_soon(send, number)
            await case.server.first.wait()
            case.server.release.set()

        assert [receipt.kind for receipt in receipts] == [Kind.RETRY] * 10

    async def test_closing_ends_what_is_under_way(self, case: Case) -> None:
        """A credential was replaced: what its gateway had in hand goes to the new one."""
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED
        case.say(SILENCE)
        receipts = []

        async def send() -> None:
            receipts.append(await case.gateway.send(case.device(), notification(), None))

        asked = len(case.server.asked)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(send)
            while len(case.server.asked) < asked + 5:
                await trio.testing.wait_all_tasks_blocked(0.001)
            await case.gateway.aclose()

        assert [receipt.kind for receipt in receipts] == [Kind.RETRY] * 5

    @pytest.mark.parametrize("action", [SILENCE, NONSENSE])
    async def test_silence_ends_in_time(self, hasty: Case, action: Action) -> None:
        """And the next one does not wait on the same connection."""
        hasty.say(action)

        receipt = await hasty.gateway.send(hasty.device(), notification(), None)

        assert receipt.kind is Kind.RETRY
        hasty.say(None)
        while await hasty.gateway.send(hasty.device(), notification(), None) != DELIVERED:
            pass  # a busy machine may need longer than the gateway waits

    async def test_a_provider_that_is_not_there_is_one_to_try_again(self, case: Case) -> None:
        """Also if it never was."""
        case.server.stop()

        receipt = await case.gateway.send(case.device(), notification(), None)

        assert receipt.kind is Kind.RETRY

    @pytest.mark.parametrize("status", [204, 302, 400, 404, 418, 500])
    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":7}', b"\xff"])
    async def test_an_answer_of_something_in_between_is_survived(
        self, case: Case, status: int, body: bytes
    ) -> None:
        """A proxy's error page is no JSON; the receipt is plain text all the same."""
        case.say(Reply(status, [], [body] if body else []))

        receipt = await case.gateway.send(case.device(), notification(), None)

        assert isinstance(receipt, Receipt)
        assert receipt.reason.isprintable()

    async def test_who_gives_up_disturbs_nobody(self, case: Case) -> None:
        """A cancelled call lets go of all it held, a hundred times over."""
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED
        case.say(SILENCE)
        for _ in range(100):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(case.gateway.send, case.device(), notification(), None)
                    await trio.testing.wait_all_tasks_blocked(0.001)
                    scope.cancel()

        case.say(None)
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED

    async def test_thousands_of_errors_in_a_row_go_through(self, case: Case) -> None:
        """Each is an answer like any other: nothing fills up, nothing stops."""
        case.say(self.ERROR)
        kinds = set()

        async def send() -> None:
            for _ in range(self.MANY // 30):
                receipt = await case.gateway.send(case.device(), notification(), None)
                kinds.add(receipt.kind)

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(send)

        assert kinds == {Kind.REFUSED}
        case.say(None)
        assert await case.gateway.send(case.device(), notification(), None) == DELIVERED

    async def test_a_receipt_holds_no_secret(self, hasty: Case) -> None:
        """It is logged and counted: neither the token nor what was said is in it."""
        token = hasty.device().token
        gone = [reply for reply, _ in self.GONE]
        replies: list[Reply | Action] = [*self.REFUSED, *self.MISCONFIGURED, *gone, SILENCE]
        for reply in replies:
            hasty.say(reply)

            receipt = await hasty.gateway.send(hasty.device(), notification(text="s3cret"), None)

            assert token not in receipt.reason
            assert "/push/" not in receipt.reason
            assert "s3cret" not in receipt.reason
