"""Users for tests of groups, and a postman who keeps what he was given.

await add_users(database, "ann", "bob")                  of tenant t1, called Ann and Bob
await groups.create(user("ann"), "t1", ...)
post.told()                                              {"ann": ["You created ..."]}
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from appmodel.errors import PushError
from appmodel.io.database import Database
from appmodel.orm.people import User
from tests.databases import limits
from web.config import GroupsConfig
from web.core.groups import NewGroup
from web.core.notices import Announcer, Notice
from web.core.principals import UserCaller
from web.core.texts import Texts
from web.services.groups import Groups


class Post:
    """A `Notices` that keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Notice]] = []
        self.trouble: PushError | None = None

    async def send(self, notices: Sequence[Notice]) -> None:
        await trio.lowlevel.checkpoint()
        if self.trouble is not None:
            raise self.trouble
        self.batches.append(list(notices))

    def told(self) -> dict[str, list[str]]:
        """The texts of the last batch, by recipient."""
        return told(self.batches[-1]) if self.batches else {}


def told(notices: Sequence[Notice]) -> dict[str, list[str]]:
    """Who is told what."""
    texts: dict[str, list[str]] = {}
    for notice in notices:
        for uid in notice.recipient_uids:
            texts.setdefault(uid, []).append(notice.text)
    return texts


def user(uid: str, tenant: str = "t1", role: str = "member") -> UserCaller:
    """Somebody who has proved it."""
    return UserCaller(uid, tenant, "", uid, uid.capitalize(), role, "")


async def add_users(database: Database, *uids: str, tenant: str = "t1") -> None:
    """Rows of users."""
    rows = [User(id=uid, name=uid, nickname=uid.capitalize(), tenant_id=tenant) for uid in uids]
    await database.write(lambda session: session.add_all(rows))


def groups_on(database: Database, post: Post, config: GroupsConfig | None = None) -> Groups:
    """The use cases."""
    return Groups(database, post, Announcer(Texts()), config or GroupsConfig())


@contextmanager
def many_threads(database: Database) -> Iterator[Database]:
    """The same database, six at a time."""
    url = database.engine.url.render_as_string(hide_password=False)
    crowd = Database(limits(url, threads=6))
    try:
        yield crowd
    finally:
        crowd.close()


async def a_group(groups: Groups, owner: str, *members: str, size: int | None = None) -> str:
    """The id of a new group of tenant t1."""
    wanted = NewGroup(name="Lunch", owner_id=owner, user_ids=list(members), max_member=size)
    return (await groups.create(user(owner), "t1", wanted)).id
