"""Who is meant by the names of a push, and who does not want it: at most one statement for all of them.

Answers are remembered for as long as they may be old (database.staleness): a group that is written to often costs
one statement a second, with its members, their names and their sessions. What this node itself has changed
it forgets at once.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import trio

from appmodel.core.mutes import Mute
from appmodel.io.database import Database
from appmodel.orm.target_queries import MUTE, Row, find_targets
from web.core.push_plan import Recipient
from web.core.resolution import Found, Resolution
from web.core.selectors import KnownSession
from web.core.targets import Kind, Target

REMEMBERED = 200_000  # people in remembered answers: 100 MB at most


class Directory:
    """Answers for one web node."""

    def __init__(self, database: Database, *, staleness: float) -> None:
        self._database, self._staleness = database, staleness
        self._known: dict[tuple[str | None, Target | Mute], _Answer] = {}
        self._size = 0
        self._changes = 0  # counted, so that what was read before one is not remembered after it
        database.on_change(self._forget)

    async def resolve(
        self, targets: Sequence[Target], mutes: Sequence[Mute] = (), *, tenant: str | None
    ) -> Resolution:
        """What these are, for somebody of that tenant (None = an operator); unknown ones are left out.

        Raises:
            Unavailable: the database is away.
        """
        now = trio.current_time()
        fresh: dict[Target | Mute, Found | frozenset[str] | None] = {}
        missing: list[Target | Mute] = []
        both: list[Target | Mute] = [*targets, *mutes]
        for asked in both:
            answer = self._known.get((tenant, asked))
            if answer is not None and now - answer.asked_at <= self._staleness:
                fresh[asked] = answer.value
            else:
                missing.append(asked)
        if missing:
            fresh.update(await self._ask(missing, tenant, now))
        found = {t: f for t in targets if isinstance(f := fresh[t], Found)}
        muted = {m: u for m in mutes if isinstance(u := fresh[m], frozenset)}
        return Resolution(found, muted)

    async def _ask(
        self, missing: Sequence[Target | Mute], tenant: str | None, now: float
    ) -> dict[Target | Mute, Found | frozenset[str] | None]:
        wanted: dict[str, list[str]] = {}
        for asked in missing:
            if isinstance(asked, Target):
                wanted.setdefault(asked.kind.value, []).append(asked.id)
        mutes = [asked for asked in missing if isinstance(asked, Mute)]
        before = self._changes
        rows = await self._database.read(
            lambda session: find_targets(session, wanted, mutes, tenant=tenant)
        )
        answers = _answers(missing, rows)
        if self._changes == before:
            for asked, value in answers.items():
                self._remember((tenant, asked), _Answer(now, value))
        return answers

    def _remember(self, key: "tuple[str | None, Target | Mute]", answer: "_Answer") -> None:
        self._drop(key)
        self._known[key] = answer
        self._size += answer.size
        while self._size > REMEMBERED:
            self._drop(next(iter(self._known)))

    def _drop(self, key: "tuple[str | None, Target | Mute]") -> None:
        answer = self._known.pop(key, None)
        if answer is not None:
            self._size -= answer.size

    def _forget(self, _subjects: Iterable[str]) -> None:
        """Something was changed here: a name may be in many answers, so all of them go."""
        self._changes += 1
        self._known.clear()
        self._size = 0


class _Answer(NamedTuple):
    asked_at: float
    value: Found | frozenset[str] | None

    @property
    def size(self) -> int:
        if isinstance(self.value, Found):
            return 1 + len(self.value.recipients)
        return 1 + len(self.value or ())


def _answers(
    asked: Iterable[Target | Mute], rows: Iterable[Row]
) -> dict[Target | Mute, Found | frozenset[str] | None]:
    found: dict[tuple[str, str], Found] = {}
    muted: dict[tuple[str, str], set[str]] = {}
    for kind, target, name, tenant, uid, login, nickname, session, state in rows:
        if kind == MUTE:
            muted.setdefault((name or "", target), set()).add(uid or "")
            continue
        entry = found.get((kind, target))
        if entry is None:
            one = Target(Kind(kind), target)
            entry = found[kind, target] = Found(one, name or "", tenant or "")
        if uid is None:
            continue  # nobody is in it
        known = KnownSession(session, state or "") if session is not None else None
        person = entry.recipients.get(uid)
        if person is None:
            sessions = [] if known is None else [known]
            entry.recipients[uid] = Recipient(uid, login or "", nickname or "", sessions)
        elif known is not None and known not in person.sessions:  # whoever is in two departments
            person.sessions.append(known)
    return {
        one: found.get((one.kind.value, one.id))
        if isinstance(one, Target)
        else frozenset(muted.get((str(one.type), one.id), ()))
        for one in asked
    }
