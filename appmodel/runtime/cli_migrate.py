"""`appmsg migrate`: the tables of people, groups and applications, in the database of the settings.

    $ appmsg migrate status
    db1:5432/appmsg is behind this version: run `appmsg migrate`
    $ appmsg migrate
    up to 0001_appmsgsrv
    up to 0002_our_tables
    db1:5432/appmsg is up to date (0002_our_tables)

It asks nothing, and says each step. To interrupt it does no harm: run it again. While another one migrates it waits.
"""

import enum
import sys
from typing import Annotated

import msgspec
import typer

from appmodel.core.units import Duration
from appmodel.errors import BadInput
from appmodel.io.engines import DatabaseLimits, parse_url, place_of
from appmodel.runtime.cli_config import Files, Overrides, load
from migrations.state import State, advice, revision_of, state_of


class Action(enum.StrEnum):
    """What to do with the database."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"
    ADOPT = "adopt"


def migrate(
    action: Annotated[
        Action,
        typer.Argument(
            help="up: to this version. down: one revision back. status: exit with 1 if there is "
            "something to do. adopt: take over a database of appmsgsrv."
        ),
    ] = Action.UP,
    wait: Annotated[
        str, typer.Option(help="How long a statement, or another migration, may take.")
    ] = "1h",
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Bring the database up to date, or back, or look at it.

    What a step back loses, and what an operator must know of an adopted database, is printed.

    Examples: `appmsg migrate --config conf/cluster/common.toml` and
    `appmsg migrate adopt --config conf/cluster/common.toml`
    """
    settings = load(files, overrides)
    limits = msgspec.structs.replace(settings.database.limits, timeout=_patience(wait))
    state = _look(limits) if action is Action.STATUS else _work(limits, action)
    if state is not State.CURRENT and action is Action.STATUS:
        sys.exit(1)


def _work(limits: DatabaseLimits, action: Action) -> State:
    from migrations import adopting, running  # with Alembic, for which no other command should wait

    work = {
        Action.UP: running.migrate,
        Action.DOWN: running.step_down,
        Action.ADOPT: adopting.adopt,
    }
    with running.alone(limits, print) as connection:
        work[action](connection, print)
    return _look(limits)


def _look(limits: DatabaseLimits) -> State:
    from migrations import running

    with running.connected(limits) as connection:
        state, revision = state_of(connection), revision_of(connection)
    known = f" ({revision})" if revision else ""
    print(f"{place_of(parse_url(limits.url))} {advice(state) or 'is up to date'}{known}")
    return state


def _patience(text: str) -> Duration:
    try:
        wait = Duration.parse(text)
    except ValueError:
        wait = Duration(0)
    if wait < 1:
        raise BadInput("--wait", text, f"{Duration.EXPECTED}, 1s or more")
    return wait
