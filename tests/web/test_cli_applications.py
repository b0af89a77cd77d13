"""`appmsg app`: what operators type, what they see, and what the nodes make of it."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from appmodel.errors import Unauthorized
from appmodel.io.caching import Changes
from appmodel.io.database import Database
from appmodel.orm.organisations import Tenant
from appmodel.runtime import cli
from tests.databases import an_empty_database, limits
from web.core.principals import APPLICATION_DEFAULT, AppCaller, Permission
from web.services.applications import ApplicationTokens


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Somebody types `appmsg app ...`, and the nodes are asked whose a token is."""

    database: Database
    run: Callable[..., Done]

    def whose(self, token: str) -> AppCaller | None:
        """What a node that knows nothing yet says."""

        async def ask() -> AppCaller | None:
            changes = Changes(self.database, staleness=1)
            try:
                return await ApplicationTokens(self.database, changes).application(token)
            except Unauthorized:
                return None

        return trio.run(ask)


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    with an_empty_database("sqlite") as url:

        def run(*arguments: str) -> Done:
            words = ["appmsg", "app", *arguments, "--set", f"database.url={url}"]
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as exited:
                cli.main()
            out, err = capsys.readouterr()
            code = exited.value.code
            return Done(code if isinstance(code, int) else 0, out, err)

        database = Database(limits(url))
        trio.run(database.write, lambda s: s.add(Tenant(id="t1", customer_id="c1", name="One")))
        yield Shell(database, run)
        database.close()


def test_a_token_is_shown_once_and_proves_the_application(shell: Shell) -> None:
    """Printed at creation; after that no command and no row has it."""
    made = shell.run("create", "Shop", "--id", "shop", "--tenant", "t1", "--permit", "sync")
    app_id, token = made.out.split()

    assert (made.code, app_id) == (0, "shop")
    assert re.fullmatch("[0-9a-f]{64}", token)
    expected = AppCaller("shop", "Shop", "t1", "c1", frozenset({Permission.SYNC}))
    assert shell.whose(token) == expected
    assert token not in shell.run("list").out
    assert token.encode() not in Path(shell.database.where).read_bytes()


def test_what_a_new_application_may_do(shell: Shell) -> None:
    """Unless told otherwise: push, sessions, auth. `permit` replaces all of it."""
    token = shell.run("create", "Shop", "--id", "shop").out.split()[1]
    assert shell.whose(token).permissions == APPLICATION_DEFAULT  # type: ignore[union-attr]

    shell.run("permit", "shop", "push", "push_org")
    both = shell.whose(token)
    shell.run("permit", "shop", "none")
    nothing = shell.whose(token)

    assert both is not None
    assert nothing is not None
    assert both.permissions == {Permission.PUSH, Permission.PUSH_ORG}
    assert nothing.permissions == frozenset()


def test_rotate(shell: Shell) -> None:
    """The new token proves it, the old one nothing."""
    old = shell.run("create", "Shop", "--id", "shop").out.split()[1]

    new = shell.run("rotate", "shop").out.strip()

    assert new != old
    assert shell.whose(old) is None
    assert shell.whose(new) is not None


def test_disable_and_enable(shell: Shell) -> None:
    """A disabled application's token proves nothing; enabled again, it is the same token."""
    token = shell.run("create", "Shop", "--id", "shop").out.split()[1]

    assert shell.run("disable", "shop").code == 0
    assert shell.whose(token) is None
    assert "disabled" in shell.run("list").out

    assert shell.run("enable", "shop").code == 0
    assert shell.whose(token) is not None


def test_list(shell: Shell) -> None:
    """Those of all tenants, or of one; a table that cut and awk can read."""
    shell.run("create", "Shop", "--id", "shop", "--tenant", "t1")
    shell.run("create", "Lone", "--id", "lone", "--permit", "push")

    every, one = shell.run("list").out, shell.run("list", "--tenant", "t1").out

    assert every.splitlines()[1].split() == ["lone", "-", "enabled", "push", "Lone"]
    assert [line.split()[0] for line in every.splitlines()] == ["ID", "lone", "shop"]
    assert [line.split()[0] for line in one.splitlines()] == ["ID", "shop"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create", ""], 1, "name: got '', expected 1 to 45 characters"),
        (["create", "x" * 46], 1, "name: "),
        (["create", "Shop", "--id", "a@b"], 1, "id: got 'a@b'"),
        (["create", "Shop", "--id", "shop"], 1, "id: 'shop' is taken"),
        (["create", "Shop", "--tenant", "t9"], 1, "tenant_id: got 't9'"),
        (["create", "Shop", "--permit", "all"], 2, "--permit"),
        (["permit", "shop", "all"], 1, "permissions: got 'all'"),
        (["permit", "shop", "none", "push"], 1, "PERMISSION: got 'none push'"),
        (["permit", "nobody", "push"], 1, "application 'nobody': there is none"),
        (["rotate", "nobody"], 1, "application 'nobody': there is none"),
        (["disable", "nobody"], 1, "application 'nobody': there is none"),
    ],
)
def test_what_is_refused(shell: Shell, words: list[str], code: int, said: str) -> None:
    """One line says what was wrong; nothing is printed as if it had worked."""
    shell.run("create", "Shop", "--id", "shop")
    before = shell.run("list").out

    done = shell.run(*words)

    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert shell.run("list").out == before
