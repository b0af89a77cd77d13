"""Who may subscribe: a user to what is his, an application to what is its own, nobody to anything else.

The original asks nobody for anything (W3): whoever names a key gets its messages, and a row in the victim's
sessions.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
import sqlalchemy as sa
import trio

from appmodel.core.application_tokens import digest_of
from appmodel.core.credentials import Credentials
from appmodel.core.names import parse_key
from appmodel.core.revocations import Revocations, token_subject, user_subject
from appmodel.core.user_tokens import TokenSigner
from appmodel.errors import Unavailable
from appmodel.io.database import Database
from appmodel.io.token_stores import Found, SqlTokens
from appmodel.io.user_tokens import TokenLimits, UserTokens
from appmodel.orm.application_queries import applications_by_digest
from appmodel.orm.applications import Application as ApplicationRow
from appmodel.orm.base import DISABLED
from appmodel.orm.people import User, UserToken
from appmodel.orm.token_queries import forget_logins
from comet.config import CometConfig
from comet.io.logins import tell_logins
from comet.io.proving import Application, Proving
from message.config import MessageConfig
from message.stores.memory import MemoryStore
from tests.comet.world import BEAT, LIMIT, World, changed, open_comet, request

SECRET = b"a secret of the tests, long enough to sign with"
LIMITS = TokenLimits(
    ttl=3600,
    max_life=90 * 86400,
    max_age=86400,
    staleness=1,
    per_user=100,
    cached=10_000,
    kept=86400,
    timeout=5,
)
CROWD = 200
REFUSED = b"-a\r\n"
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class TokenStore(SqlTokens):
    """The real one, that can be away or slow, and counts its questions."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.questions = 0
        self.is_away = False
        self.is_slow = False

    async def find(self, digests: Sequence[str]) -> Found:
        self.questions += 1
        if self.is_away:
            raise Unavailable("the database is away")
        if self.is_slow:
            await trio.sleep_forever()
        return await super().find(digests)


@dataclass
class Guarded:
    """A comet that asks for credentials."""

    world: World
    tokens: UserTokens
    store: TokenStore
    proving: Proving
    database: Database

    async def reply(self, key: str, credential: str) -> bytes:
        """What a client hears: BEAT if it was let in."""
        client = await self.world.tcp(request("sub", key, "30", credential))
        return await client.read(4)

    async def revoke(self, subject: str) -> None:
        """As a web node does, or an operator."""
        now = self.world.now()
        await self.world.store.revoke(subject, issued_before=now + 1, kept_until=now + 600)


@asynccontextmanager
async def guarded(
    database: Database, *, patience: float = 30.0, config: CometConfig | None = None
) -> AsyncIterator[Guarded]:
    """Users u1 and u2, and the applications a1 (token "secret-1") and a2 ("secret-2")."""
    await database.write(
        lambda session: session.add_all(
            [
                *(User(id=uid, name=uid) for uid in ("u1", "u2")),
                *(
                    ApplicationRow(id=f"a{number}", token_digest=digest_of(f"secret-{number}"))
                    for number in (1, 2)
                ),
            ]
        )
    )

    async def applications(digests: Sequence[str]) -> Mapping[str, Application]:
        found = await database.read(partial(applications_by_digest, digests=digests))
        return {digest: Application(row.id, row.enabled) for digest, row in found.items()}

    ledger, store = MemoryStore(MessageConfig()), TokenStore(database)
    tokens = UserTokens(store, TokenSigner(SECRET), Revocations(), lambda: ledger, LIMITS)
    proving = Proving(
        Credentials(SECRET), tokens=tokens, applications=applications, patience=patience
    )
    async with (
        open_comet(config, proving=proving, store=ledger) as world,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(tokens.run)
        yield Guarded(world, tokens, store, proving, database)
        nursery.cancel_scope.cancel()


async def test_a_users_token_opens_his_inbox_and_his_sessions(database: Database) -> None:
    """And nothing else: not another user's, not a group, an application, or an opaque key."""
    async with guarded(database) as comet:
        token = await comet.tokens.issue("u1")

        for key in ("u1@user", "u1_Android-d1@user", "u1_x@user"):
            assert await comet.reply(key, token) == BEAT, key
        for key in (
            "u2@user",
            "u2_Android-d1@user",
            "u11@user",
            "u1@app",
            "g1@qun",
            "u1",
            "a1@app",
        ):
            assert await comet.reply(key, token) == REFUSED, key


@on_sqlite
async def test_garbage_opens_nothing_and_asks_nobody(database: Database) -> None:
    """A stranger cannot make us ask the database: neither for a session of a victim, nor for his inbox."""
    async with guarded(database) as comet:
        token = await comet.tokens.issue("u1")
        forged = token[:-1] + ("0" if token[-1] != "0" else "1")
        before = database.statements

        for text in (
            "",
            "u1_x",
            "u1_" + "0" * 82,
            forged,
            f"u2_{token.partition('_')[2]}",
            "x" * 999,
        ):
            assert await comet.reply("u1_Android-d1@user", text) == REFUSED, text
        assert database.statements == before
        assert comet.store.questions == 0


@on_sqlite
async def test_a_token_that_nobody_knows_opens_nothing(database: Database) -> None:
    """Its login was ended, or its user deleted or disabled."""
    async with guarded(database) as comet:
        ended, unknown = await comet.tokens.issue("u1"), await comet.tokens.issue("nobody")
        disabled = await comet.tokens.issue("u2")
        await comet.tokens.revoke(ended, "u1")
        await database.write(
            lambda session: setattr(session.get_one(User, "u2"), "status", DISABLED)
        )

        assert await comet.reply("u1@user", ended) == REFUSED
        assert await comet.reply("nobody@user", unknown) == REFUSED
        assert await comet.reply("u2@user", disabled) == REFUSED


async def test_an_applications_token_opens_its_own_key(database: Database) -> None:
    """Not another one's, not a user's; and a disabled application's opens nothing."""
    async with guarded(database) as comet:
        assert await comet.reply("a1@app", "secret-1") == BEAT
        for key, token in (
            ("a2@app", "secret-1"),
            ("u1@user", "secret-1"),
            ("a1@app", "secret-3"),
            ("a1@app", ""),
            ("a1@app", digest_of("secret-1")),
        ):
            assert await comet.reply(key, token) == REFUSED, (key, token)

        await database.write(
            lambda session: setattr(session.get_one(ApplicationRow, "a1"), "status", DISABLED)
        )
        assert await comet.reply("a1@app", "secret-1") == REFUSED
        assert await comet.reply("a2@app", "secret-2") == BEAT


@on_sqlite
async def test_tickets_still_open_the_key_that_they_name(database: Database) -> None:
    """Also the key of an application, and of a user who never logged in here."""
    async with guarded(database) as comet:
        for key in ("a1@app", "u9_x@user", "any text"):
            ticket = Credentials(SECRET).issue_ticket(
                parse_key(key), now=comet.world.now(), ttl=600
            )
            assert await comet.reply(key, ticket) == BEAT
            assert await comet.reply("u1@user", ticket) == REFUSED
        assert comet.store.questions == 0


@pytest.mark.parametrize("trouble", ["away", "slow"])
@on_sqlite
async def test_without_the_database_a_good_signature_has_to_do(
    database: Database, trouble: str
) -> None:
    """Clients of a cluster whose database is down come back and receive; who was never let in is not."""
    async with guarded(database, patience=0.05) as comet:
        token = await comet.tokens.issue("u1")
        comet.store.is_away, comet.store.is_slow = trouble == "away", trouble == "slow"

        assert await comet.reply("u1_Android-d1@user", token) == BEAT
        assert await comet.reply("u2_Android-d1@user", token) == REFUSED
        assert await comet.reply("u1@user", token[:-1] + "x") == REFUSED
        assert comet.proving.unasked == 1


@on_sqlite
async def test_what_is_revoked_opens_nothing_without_the_database_either(
    database: Database,
) -> None:
    """The ledger is not the database: a logout counts."""
    async with guarded(database) as comet:
        lost, good = await comet.tokens.issue("u1"), await comet.tokens.issue("u1")
        client = await comet.world.tcp(request("sub", "u1_a@user", "30", lost, "2"))
        assert await client.read(4) == BEAT
        comet.store.is_away = True

        await comet.revoke(token_subject(digest_of(lost)))
        assert await client.read_all() == b"-x 4402 ticket revoked\r\n"

        assert await comet.reply("u1_a@user", lost) == REFUSED
        assert await comet.reply("u1_a@user", good) == BEAT


@on_sqlite
async def test_a_user_whose_logins_are_revoked_is_hung_up_on(database: Database) -> None:
    """His inbox and all his sessions, whatever let them in; nobody else."""
    async with guarded(database) as comet:
        token, other = await comet.tokens.issue("u1"), await comet.tokens.issue("u2")
        now = comet.world.now()
        ticket = Credentials(SECRET).issue_ticket(parse_key("u1_c@user"), now=now, ttl=600)
        admitted = [("u1@user", token), ("u1_b@user", token), ("u1_c@user", ticket)]
        clients = [
            await comet.world.tcp(request("sub", key, "30", credential, "2"))
            for key, credential in [*admitted, ("u2_d@user", other)]
        ]
        for client in clients:
            assert await client.read(4) == BEAT

        await comet.revoke(user_subject("u1"))

        for client in clients[:3]:
            assert await client.read_all() == b"-x 4402 ticket revoked\r\n"
        assert comet.world.comet.live.hub.subscribers == 1


@on_sqlite
async def test_an_application_that_is_disabled_is_hung_up_on_and_may_come_again_later(
    database: Database,
) -> None:
    """Its token says nothing of its issue: what was revoked before it came does not concern it."""
    async with guarded(database) as comet:
        revoked = token_subject(digest_of("secret-1"))
        now = comet.world.now()
        await comet.world.store.revoke(revoked, issued_before=now - 60, kept_until=now + 600)
        client = await comet.world.tcp(request("sub", "a1@app", "30", "secret-1", "2"))
        assert await client.read(4) == BEAT

        await comet.revoke(revoked)
        assert await client.read_all() == b"-x 4402 ticket revoked\r\n"


async def test_an_application_is_told_to_come_later_while_the_database_is_away() -> None:
    """Nothing but the database knows it; that is no refusal for good."""

    async def nobody_answers(_: Sequence[str]) -> Mapping[str, Application]:
        raise Unavailable("the database is away")

    proving = Proving(Credentials(SECRET), applications=nobody_answers)
    async with open_comet(proving=proving) as world:
        client = await world.tcp(request("sub", "a1@app", "30", "secret-1", "2"))

        assert await client.read_all() == b"-x 4003 try later\r\n"


async def test_those_who_come_back_at_once_are_a_few_questions(database: Database) -> None:
    """Each with a token of its own: nobody is asked for one by one, and nobody waits for long."""
    uids = [f"many{number}" for number in range(CROWD)]
    async with guarded(database) as comet:
        await database.write(lambda session: session.add_all(User(id=uid) for uid in uids))
        tokens = {uid: await comet.tokens.issue(uid) for uid in uids}
        welcomed: list[str] = []

        async def come(uid: str) -> None:
            if await comet.reply(f"{uid}_Android-d@user", tokens[uid]) == BEAT:
                welcomed.append(uid)

        async with trio.open_nursery() as nursery:
            for uid in uids:
                nursery.start_soon(come, uid)

        assert sorted(welcomed) == sorted(uids)
        assert comet.store.questions <= CROWD / 5


@on_sqlite
async def test_a_user_has_a_bounded_number_of_sessions(database: Database) -> None:
    """Each of them gets a copy of every message. One more connection of a session is none more."""
    config = changed(CometConfig(), "limits", sessions_per_user=2)
    async with guarded(database, config=config) as comet:
        token = await comet.tokens.issue("u1")
        for key in ("u1_a@user", "u1_b@user", "u1_b@user", "u1@user"):
            assert await comet.reply(key, token) == BEAT

        client = await comet.world.tcp(request("sub", "u1_c@user", "30", token, "2"))

        assert await client.read_all() == b"-x 4409 too many connections of this key\r\n"


@on_sqlite
async def test_the_login_of_who_is_connected_lives_on(database: Database) -> None:
    """A phone that only listens is no reason to log in again; a login that was ended stays ended."""
    async with guarded(database) as comet:
        tokens = {uid: await comet.tokens.issue(uid) for uid in ("u1", "u2")}
        for uid, token in tokens.items():
            assert await comet.reply(f"{uid}_Android-d@user", token) == BEAT
        await database.write(lambda session: forget_logins(session, [digest_of(tokens["u2"])]))
        before = await expiries(database)

        await tell_logins(comet.world.comet.live.hub, comet.tokens)
        with trio.fail_after(LIMIT):
            while (after := await expiries(database)) == before:
                await trio.lowlevel.checkpoint()

        assert after.keys() == before.keys() == {"u1"}
        assert after["u1"] > before["u1"]


async def expiries(database: Database) -> dict[str, float]:
    """Until when which user's login lives."""
    rows = await database.read(lambda session: session.scalars(sa.select(UserToken)).all())
    return {row.user_id: row.expires.timestamp() for row in rows}
