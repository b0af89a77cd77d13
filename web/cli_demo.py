"""`appmsg demo`: a company to play with, in the database of the settings.

    acme@tenant  Acme Ltd.                            a customer, a tenant
      acme-rnd@org                                    departments of three levels
        acme-server@org  acme-apps@org
      acme-sales@org
        acme-north@org  acme-south@org
    ann@user ... tom@user                             twenty people, with passwords
    acme-lunch@qun                                    a group, ann's
    acme-news@app                                     an application, with a token

Passwords and token are random, and shown this once. Run again it makes nothing and shows the tour.
"""

import secrets
from collections.abc import Iterator, Mapping
from functools import partial

import trio
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appmodel.core.application_tokens import digest_of, new_token
from appmodel.core.groups import Role
from appmodel.core.locations import Department, place_all
from appmodel.errors import Conflict
from appmodel.orm.applications import Application
from appmodel.orm.changes import note_change
from appmodel.orm.groups import Qun, QunUser
from appmodel.orm.organisations import Customer, Org, OrgUser, Tenant
from appmodel.orm.people import User
from appmodel.runtime.cli_clients import PUBLIC
from appmodel.runtime.cli_config import Files, Overrides, load
from appmodel.runtime.databases import ready_database
from appmodel.runtime.settings import Settings
from appmodel.runtime.tour import own_name
from web.config import ListenerConfig, WebConfig
from web.core.permissions import permissions_text
from web.core.principals import Permission
from web.services.passwords import hash_password

TENANT, CUSTOMER, APPLICATION, GROUP = "acme", "acme-customer", "acme-news", "acme-lunch"
DEPARTMENTS = {  # id: (parent, name)
    "acme-all": ("", "Acme"),
    "acme-rnd": ("acme-all", "Research"),
    "acme-server": ("acme-rnd", "Servers"),
    "acme-apps": ("acme-rnd", "Apps"),
    "acme-sales": ("acme-all", "Sales"),
    "acme-north": ("acme-sales", "North"),
    "acme-south": ("acme-sales", "South"),
}
PEOPLE = {  # department: who works there
    "acme-all": ["Ann"],
    "acme-rnd": ["Bob"],
    "acme-server": ["Cleo", "Dan", "Eve", "Finn", "Gus"],
    "acme-apps": ["Hana", "Ivo", "Jun", "Kim"],
    "acme-sales": ["Lea"],
    "acme-north": ["Max", "Nia", "Omar", "Pia"],
    "acme-south": ["Quin", "Rosa", "Sam", "Tom"],
}
BOSS, LUNCH = "ann", ["ann", "bob", "cleo", "hana", "lea"]
MAY = [Permission.PUSH, Permission.PUSH_ORG, Permission.PUSH_TENANT, Permission.SESSIONS]


def demo(files: Files = [], overrides: Overrides = []) -> None:
    """Create a company with departments, people, a group and an application, and show how to use it.

    Run again it changes nothing.

    Example: `appmsg demo`
    """
    settings = load(files, overrides)
    passwords = {uid: secrets.token_urlsafe(9) for uid in _people()}
    token = new_token()
    if trio.run(_found, settings, passwords, token):
        print(_credentials(passwords, token))
        print(_tour(settings, passwords[BOSS], token))
    else:
        print("Acme Ltd. is there already; its passwords were shown when it was made.\n")
        print(_tour(settings, "...", "..."))


async def _found(settings: Settings, passwords: Mapping[str, str], token: str) -> bool:
    hashed = {uid: hash_password(password) for uid, password in passwords.items()}
    async with ready_database(settings) as database:
        try:
            return await database.write(partial(found_company, hashed, digest_of(token)))
        except IntegrityError:
            raise Conflict("demo: ids of its company are taken by others already") from None


def found_company(hashed: Mapping[str, str], digest: str, session: Session) -> bool:
    """Add all rows of the company; False if it is there already.

    Args:
        hashed: the password of each user, by id.
        digest: of the application's token.

    Raises:
        IntegrityError: somebody else has one of the ids.
    """
    if session.get(Tenant, TENANT) is not None:
        return False
    session.add(Customer(id=CUSTOMER, name="Acme Ltd."))
    session.add(Tenant(id=TENANT, code=TENANT, name="Acme Ltd.", customer_id=CUSTOMER))
    session.add_all(_departments())
    session.add_all(_users(hashed))
    session.add_all(OrgUser(org_id=org, user_id=uid) for uid, org in _people().items())
    session.add(Qun(id=GROUP, name="Lunch", creator_id=BOSS, tenant_id=TENANT))
    session.add_all(
        QunUser(qun_id=GROUP, user_id=uid, role=Role.OWNER if uid == BOSS else Role.MEMBER)
        for uid in LUNCH
    )
    session.add(
        Application(
            id=APPLICATION,
            name="Acme News",
            tenant_id=TENANT,
            token_digest=digest,
            permissions=permissions_text(MAY),
        )
    )
    names = [f"{uid}@user" for uid in hashed] + [f"{org}@org" for org in DEPARTMENTS]
    names += [f"{TENANT}@tenant", f"{GROUP}@qun", f"{APPLICATION}@app", f"orgs:{TENANT}"]
    note_change(session, *names)
    return True


def _departments() -> Iterator[Org]:
    places = place_all(Department(id, parent, "") for id, (parent, _) in DEPARTMENTS.items())
    for sort, (id, (parent, name)) in enumerate(DEPARTMENTS.items()):
        yield Org(
            id=id,
            name=name,
            short_name=name,
            parent_id=parent,
            location=places[id],
            tenant_id=TENANT,
            sort=sort,
        )


def _users(hashed: Mapping[str, str]) -> Iterator[User]:
    for uid in _people():
        yield User(
            id=uid,
            name=uid,
            nickname=uid.capitalize(),
            password=hashed[uid],
            tenant_id=TENANT,
            email=f"{uid}@acme.example",
            role="admin" if uid == BOSS else "member",
        )


def _people() -> dict[str, str]:
    """The department of each, by user id."""
    return {name.lower(): org for org, names in PEOPLE.items() for name in names}


def _credentials(passwords: Mapping[str, str], token: str) -> str:
    lines = [f"{uid:<6} {org:<12} {passwords[uid]}" for uid, org in _people().items()]
    heading = f"{'LOGIN':<6} {'DEPARTMENT':<12} PASSWORD"
    return "\n".join(
        [
            heading,
            *lines,
            "",
            f"token of {APPLICATION}: {token}",
            "",
            "Keep them: nobody can show them again.",
            "",
        ]
    )


def _tour(settings: Settings, password: str, token: str) -> str:
    web = settings.section(WebConfig)
    app, api = _url(web.app), _url(web.api)
    base = '"baseRequest":{"uid":"","deviceID":"d1","deviceType":"android","token":""}'
    login = f'{{{base},"userName":"{BOSS}","password":"{password}"}}'
    read = "python3 -c 'import json, sys; print(json.load(sys.stdin)[\"token\"])'"
    push = f'curl -s {api}/v2/push -H "Authorization: Bearer $APP" -d'
    listen = f'{own_name()} listen {BOSS}@user --mid 0 --token "$TOKEN"{_listen_at(web.public)}'
    return "\n".join(
        [
            "# log in as Ann",
            f"TOKEN=$(curl -s {app}/app/client/device/login -d '{login}' | {read})",
            "",
            "# push as the application: to a person, a group, a department with all below it",
            f"APP={token}",
            *(
                f'{push} \'{{"to":"{name}","msg":{{"text":"hello"}},"ttl":"10m"}}\''
                for name in (f"{BOSS}@user", f"{GROUP}@qun", "acme-all@org/**")
            ),
            "",
            "# see as Ann what was for her, and what comes; Ctrl-C ends it",
            listen,
        ]
    )


def _listen_at(listener: ListenerConfig) -> str:
    url = _url(listener)
    return "" if url == PUBLIC else f" --url {url}"


def _url(listener: ListenerConfig) -> str:
    scheme = "https" if listener.tls.certificate else "http"
    host = "127.0.0.1" if listener.host in ("0.0.0.0", "") else listener.host  # noqa: S104
    return f"{scheme}://{host}:{listener.port}"
