"""What rows of the original mean to us. Each may be done again: what is right stays as it is."""

from collections import defaultdict
from hashlib import sha256

import sqlalchemy as sa

from appmodel.core.locations import Department, place_all
from migrations.fitting import Say
from migrations.ours import METADATA

APPLICATION = METADATA.tables["application"]
ORG = METADATA.tables["org"]
QUN = METADATA.tables["qun"]
QUN_USER = METADATA.tables["qun_user"]
SESSION = METADATA.tables["session"]

OWNER, MEMBER = 0, 2


def digest_tokens(connection: sa.Connection, say: Say) -> None:
    """application.token -> token_digest. Of applications with the same token the first one keeps it."""
    columns = (APPLICATION.c.id, APPLICATION.c.token)
    rows = connection.execute(sa.select(*columns).where(APPLICATION.c.token.is_not(None)))
    taken = set(connection.scalars(sa.select(APPLICATION.c.token_digest)))
    changes = []
    for id, token in sorted((row.id, row.token) for row in rows):
        kept = sha256(token.encode()).hexdigest() if token else None
        if kept in taken:
            if kept is not None:
                say(f"application {id} had the token of another one: give it a new one")
            kept = None
        taken.add(kept)
        changes.append({"this": id, "digest": kept})
    if changes:
        change = APPLICATION.update().where(APPLICATION.c.id == sa.bindparam("this"))
        digest: sa.BindParameter[str] = sa.bindparam("digest")
        connection.execute(change.values(token=None, token_digest=digest), changes)
        kept_now = sum(each["digest"] is not None for each in changes)
        say(f"application: {kept_now} tokens are kept as their digests from now on")


def give_roles(connection: sa.Connection, say: Say) -> None:
    """The creator of a group owns it. The original wrote "owner" for all of its members."""
    created = sa.exists().where(
        QUN.c.id == QUN_USER.c.qun_id, QUN.c.creator_id == QUN_USER.c.user_id
    )
    others = QUN_USER.update().where(QUN_USER.c.role == OWNER, ~created).values(role=MEMBER)
    if changed := connection.execute(others).rowcount:
        say(f"qun_user: {changed} members are no owners: the group is its creator's")
    connection.execute(
        QUN_USER.update().where(QUN_USER.c.role != OWNER, created).values(role=OWNER)
    )


def place_departments(connection: sa.Connection, say: Say) -> None:
    """See appmodel/core/locations.py."""
    tenants: defaultdict[str, list[Department]] = defaultdict(list)
    columns = (ORG.c.tenant_id, ORG.c.id, ORG.c.parent_id, ORG.c.location)
    for tenant, *department in connection.execute(sa.select(*columns)):
        tenants[tenant].append(Department(*department))
    changes = []
    for departments in tenants.values():
        places = place_all(departments)
        changes += [
            {"this": each.id, "place": places[each.id]}
            for each in departments
            if each.location != places[each.id]
        ]
    if changes:
        change = ORG.update().where(ORG.c.id == sa.bindparam("this"))
        connection.execute(change.values(location=sa.bindparam("place")), changes)
        say(f"org: {len(changes)} departments have a new location")


def forget_sessions(connection: sa.Connection, say: Say) -> None:
    """Nobody knows which of them are still connected."""
    if gone := connection.execute(SESSION.delete()).rowcount:
        say(f"session: {gone} rows removed: comets tell anew who is connected")
