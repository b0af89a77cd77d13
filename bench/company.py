"""A company in the database: users who have logged in, and groups of several sizes.

users    u00000, u00001, ...       all of one tenant, names of one length: messages have one size
groups   g10, g100, ...            u00000 owns each, the next ones are its members
token    of u00000
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from appmodel.core.groups import Role
from appmodel.core.user_tokens import TokenSigner
from appmodel.io.engines import DatabaseLimits, make_engine
from appmodel.orm.base import Base, now
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Tenant
from appmodel.orm.people import User, UserToken
from migrations.running import alone, migrate

TENANT = "acme"
SENDER = "u00000"


def uid(number: int) -> str:
    """The id of a user."""
    return f"u{number:05d}"


def make_tables(url: str) -> None:
    """All tables, in an empty database."""
    with alone(DatabaseLimits(url=url), lambda _: None) as connection:
        migrate(connection, lambda _: None)


def found(url: str, secret: bytes, *, users: int, groups: Sequence[int]) -> str:
    """Make it, in a database that has the tables; the token of SENDER."""
    token = TokenSigner(secret).issue(SENDER, now=datetime.now(UTC).timestamp())
    digest = sha256(token.encode()).hexdigest()
    people = [
        {"id": uid(n), "name": f"login{n:05d}", "nickname": f"Nick {n:05d}", "tenant_id": TENANT}
        for n in range(users)
    ]
    members = [
        {"qun_id": f"g{size}", "user_id": uid(n), "role": Role.MEMBER if n else Role.OWNER}
        for size in groups
        for n in range(size + 1)
    ]
    login = {"digest": digest, "user_id": SENDER, "expires": now() + timedelta(days=1)}
    rows: list[tuple[type[Base], Sequence[Mapping[str, Any]]]] = [
        (Tenant, [{"id": TENANT, "name": "Acme"}]),
        (User, people),
        (
            Qun,
            [
                {"id": f"g{s}", "name": "Group", "creator_id": SENDER, "tenant_id": TENANT}
                for s in groups
            ],
        ),
        (QunUser, members),
        (UserToken, [login]),
    ]
    engine = make_engine(DatabaseLimits(url=url))
    with engine.begin() as connection:
        for model, values in rows:
            connection.execute(sa.insert(model), values)
    engine.dispose()
    return token
