"""`appmsg demo`: the company that it makes, on each kind of database."""

import re
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from appmodel.core.application_tokens import digest_of
from appmodel.io.engines import make_engine
from appmodel.orm.applications import Application
from appmodel.orm.base import Base
from appmodel.orm.changes import Change
from appmodel.orm.organisations import Org, Tenant
from appmodel.orm.people import User
from appmodel.runtime import cli
from tests.databases import KINDS, an_empty_database, limits

Run = Callable[[], tuple[int, str, str]]


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database without rows."""
    with an_empty_database(str(request.param)) as url:
        yield url


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `appmsg demo`: exit code, stdout, stderr."""

    def run_command() -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["appmsg", "demo", "--set", f"database.url={url}"])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return run_command


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    """Looks at the database."""
    engine = make_engine(limits(url))
    with Session(engine) as session:
        yield session
    engine.dispose()


def counts(session: Session) -> dict[str, int]:
    """Rows of each table."""
    asked = {
        t.name: sa.select(sa.func.count()).select_from(t) for t in Base.metadata.tables.values()
    }
    return {name: session.scalar(statement) or 0 for name, statement in asked.items()}


def test_a_company_is_made_with_all_that_one_needs(run: Run, session: Session) -> None:
    """People in departments of three levels; what is shown is right, and nothing of it is stored."""
    code, out, _ = run()

    assert code == 0
    places = {org.id: org.location for org in session.scalars(sa.select(Org))}
    assert places["acme-all"] == "00"
    assert places["acme-server"].startswith(places["acme-rnd"])
    assert {len(place) for place in places.values()} == {2, 4, 6}
    found = counts(session)
    assert (found["user"], found["org_user"], found["qun_user"]) == (20, 20, 5)
    token = re.search(r"token of acme-news: (\w+)", out)
    assert token is not None
    assert session.scalars(sa.select(Application.token_digest)).one() == digest_of(token[1])
    ann = session.get_one(User, "ann")
    assert ann.password.startswith("$argon2")
    shown = re.search(r"^ann +\S+ +(\S{12})$", out, re.MULTILINE)
    assert shown is not None
    assert PasswordHasher().verify(ann.password, shown[1])
    assert "ann@user" in set(session.scalars(sa.select(Change.subject)))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_second_time_nothing_is_made_and_nothing_is_shown(run: Run, session: Session) -> None:
    """The tour comes all the same."""
    run()
    before = counts(session)
    session.rollback()

    code, out, _ = run()

    assert code == 0
    assert counts(session) == before
    assert "is there already" in out
    assert "token of" not in out
    assert "/v2/push" in out


def test_ids_of_others_are_left_alone(run: Run, session: Session) -> None:
    """Somebody is called ann already: nothing of the company is made."""
    engine = session.get_bind()
    with Session(engine) as other:
        other.add(User(id="ann", name="ann", password="hers"))
        other.commit()

    code, out, err = run()

    assert (code, out) == (1, "")
    assert "taken by others" in err
    assert session.get(Tenant, "acme") is None
    assert session.get_one(User, "ann").password == "hers"
