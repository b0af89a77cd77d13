"""All buckets of a store: who asks several at once, and what it means if they do not agree."""

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import trio

from appmodel.errors import ConfigError, OutcomeUnknown, PushError
from message.config import MessageConfig
from message.stores.notices import Notices
from message.stores.redis_keys import buckets_of, number_of
from message.stores.redis_lane import Ask, Highest, Lane, SavePart
from message.stores.redis_prepare import Preparation
from message.stores.redis_replies import only, whole
from message.stores.redis_saving import Pair, Part
from message.stores.redis_servers import Servers

CALL_WEIGHT = 256  # bytes that any waiting call counts for, beside what it carries

Answer = TypeVar("Answer")


class Lanes:
    """One lane per bucket. The first also has what is there once: revocations, and the feed of all."""

    def __init__(
        self, config: MessageConfig, now: Callable[[], float], notices: Notices, highest: Highest
    ) -> None:
        self._config, self._highest = config, highest
        servers, preparation, settling = Servers(config.redis), Preparation(), threading.Lock()
        self._lanes = [
            Lane(
                bucket,
                config,
                servers,
                now=now,
                notices=notices,
                highest=highest,
                preparation=preparation,
                settling=settling,
            )
            for bucket in buckets_of(config.redis)
        ]

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def __getitem__(self, number: int) -> Lane:
        return self._lanes[number]

    @property
    def first(self) -> Lane:
        """Bucket 0."""
        return self._lanes[0]

    def of(self, name: bytes) -> Lane:
        """Where `name` lies."""
        return self._lanes[number_of(name, len(self._lanes))]

    def connect(self) -> None:
        """Connect, and learn the highest mark of all. Blocks; before `run` of the lanes.

        Raises:
            ConfigError: Redis refuses us, or what lies there was made with other settings.
        """
        questions = [(link, each.ask_highest()) for each in self._lanes for link in each.links]
        for link, question in questions:
            try:
                self._highest.observe(whole(only(link.exchange([question]))))
            except PushError as error:
                setting = link.setting_to_blame
                if setting is None:
                    return  # it is away: who asks first will wait for it
                value = getattr(self._config.redis, setting)
                raise ConfigError(f"message.redis.{setting}", value, str(error)) from None

    async def look_for_highest(self) -> None:
        """Know the highest mark that there is now. Raises Unavailable."""
        asks = {lane.bucket.number: Ask([lane.ask_highest()], only) for lane in self._lanes}
        for mark in (await self.read_all(asks)).values():
            self._highest.observe(whole(mark))

    async def read_all(self, asks: Mapping[int, Ask]) -> dict[int, Any]:
        """What each bucket's reader answers. Raises the error of any."""
        questions = {n: partial(self._lanes[n].reader.ask, ask) for n, ask in asks.items()}
        return _all_good(await gather(questions))

    async def write_all(self, asks: Mapping[int, Ask]) -> dict[int, Any]:
        """What each bucket's writer answers. Raises the error of any."""
        writers = {number: self._lanes[number].writer for number in asks}
        questions = {n: partial(writers[n].ask, ask, CALL_WEIGHT) for n, ask in asks.items()}
        return _all_good(await gather(questions))

    async def save(self, parts: Mapping[int, Part]) -> dict[int, list[Pair]]:
        """What each bucket answers to its part.

        Raises:
            NotStored: none of them has stored anything.
            OutcomeUnknown: some have, others have not or may not have.
        """

        async def save(number: int, part: Part) -> list[Pair]:
            weight = CALL_WEIGHT + part.weight
            answer: list[Pair] = await self._lanes[number].writer.ask(SavePart(part), weight)
            return answer

        answers = await gather({n: partial(save, n, part) for n, part in parts.items()})
        errors = [answer for answer in answers.values() if isinstance(answer, PushError)]
        saved = {n: answer for n, answer in answers.items() if not isinstance(answer, PushError)}
        if errors and saved:
            raise OutcomeUnknown(f"a part of it was stored, the rest was not: {errors[0]}")
        if errors:
            raise next((e for e in errors if isinstance(e, OutcomeUnknown)), errors[0])
        return saved


async def gather(
    questions: Mapping[int, Callable[[], Awaitable[Answer]]],
) -> dict[int, Answer | PushError]:
    """The answer to each question, or the PushError instead of it. All are asked at once."""
    answers: dict[int, Answer | PushError] = {}

    async def ask(number: int, question: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answers[number] = await question()
        except PushError as error:
            answers[number] = error

    if len(questions) == 1:  # nearly always; a nursery would cost as much as the rest
        [(number, question)] = questions.items()
        await ask(number, question)
        return answers
    async with trio.open_nursery() as nursery:
        for number, question in questions.items():
            nursery.start_soon(ask, number, question)
    return answers


def _all_good(answers: Mapping[int, Any]) -> dict[int, Any]:
    for answer in answers.values():
        if isinstance(answer, PushError):
            raise answer
    return dict(answers)
