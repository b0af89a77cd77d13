"""An asyncio loop inside trio, for the one library that speaks nothing else: aioapns.

It runs in a task of its own, so nobody else's task finds an asyncio loop in its context. What goes wrong in
a callback of asyncio has nobody who waits for it; trio-asyncio would end the whole program. Here it is
logged and counted, and the connection that it belonged to is closed by asyncio itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog
import trio
import trio_asyncio

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Island:
    """`run` must be running before anything is called."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.faults = 0  # errors of callbacks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once it can be called."""
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(self._note)
            self.loop = loop
            task_status.started()
            await trio.sleep_forever()

    async def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await an asyncio coroutine. Cancelling waits until it has seen that, and has ended."""
        answer: T = await self._loop().run_aio_coroutine(coroutine)  # type: ignore[attr-defined]  # trio-asyncio's
        return answer

    async def from_asyncio(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await a function of trio, from a coroutine that runs here.

        trio-asyncio loses a cancellation that comes when `work` is done, or cannot be cancelled: the coroutine
        would go on, and whoever cancelled it would wait for ever.
        """
        answer: T = await self._loop().trio_as_future(work)  # type: ignore[attr-defined]  # trio-asyncio's
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return answer

    def _loop(self) -> asyncio.AbstractEventLoop:
        assert self.loop is not None, "it does not run"
        return self.loop

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults += 1
        error = context.get("exception")
        log.warning("a callback of asyncio failed", what=context.get("message"), exc_info=error)
