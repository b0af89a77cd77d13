"""`appmsg app`: applications, their tokens, and what they may do.

    $ appmsg app create Shop --id shop --tenant t1 --permit push --permit sync
    shop
    5f0c8a...e1          the token: this is the only time that anybody sees it

    ID    TENANT  STATE     PERMISSIONS  NAME
    shop  t1      enabled   push,sync    Shop

It speaks to the database of the settings, so it needs no running node; the nodes notice within a second. Who is
connected to a comet with an old token stays until he hangs up: /v2 tells the comets, this command cannot.
"""

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

import sqlalchemy as sa
import trio
import typer
from msgspec import UNSET
from sqlalchemy.orm import Session

from appmodel.errors import BadInput, NotFound
from appmodel.io.database import Database
from appmodel.orm.applications import Application as Model
from appmodel.runtime.cli_config import Files, Overrides, load
from web.core.access import HOME
from web.core.applications import Application, ApplicationChange, NewApplication, NewToken
from web.core.paging import MAX_LIMIT, Paging
from web.core.permissions import NONE
from web.core.principals import Operator, Permission
from web.services.applications import Applications

T = TypeVar("T")
Use = Callable[[Applications, Database], Awaitable[T]]

ME = Operator(HOME)  # who can read the database needs no other proof

app = typer.Typer(help="Applications and their tokens.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="As `appmsg app list` has it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people see.")],
    app_id: Annotated[str, typer.Option("--id", help="Else a random one. Its key is ID@app.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose it is, and what it may act on.")] = "",
    permit: Annotated[
        list[Permission],
        typer.Option("--permit", help="What it may do; repeatable. Else push, sessions, auth."),
    ] = [],
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Create an application, and print its id and its token.

    Example: `appmsg app create Shop --id shop --tenant t1 --permit push --permit sync`
    """
    wanted = NewApplication(
        id=app_id or UNSET,
        name=name,
        tenant_id=tenant,
        permissions=[each.value for each in permit] or UNSET,
    )

    async def use(applications: Applications, _: Database) -> NewToken:
        return await applications.create(ME, wanted)

    made = _run(use, files, overrides)
    print(made.application.id)
    _show_token(made)


@app.command()
def rotate(app_id: Id, files: Files = [], overrides: Overrides = []) -> None:
    """Print a new token for an application. The one before proves nothing any more.

    Example: `appmsg app rotate shop`
    """

    async def use(applications: Applications, database: Database) -> NewToken:
        return await applications.rotate(ME, app_id, await _tenant_of(database, app_id))

    _show_token(_run(use, files, overrides))


@app.command()
def disable(app_id: Id, files: Files = [], overrides: Overrides = []) -> None:
    """Let an application's token prove nothing until it is enabled again."""
    _run(partial(_change, app_id, ApplicationChange(disabled=True)), files, overrides)


@app.command()
def enable(app_id: Id, files: Files = [], overrides: Overrides = []) -> None:
    """Let an application's token be good again."""
    _run(partial(_change, app_id, ApplicationChange(disabled=False)), files, overrides)


@app.command()
def permit(
    app_id: Id,
    permissions: Annotated[
        list[str],
        typer.Argument(
            metavar="PERMISSION...",
            help=f"All that it may do: {', '.join(Permission)}; or {NONE!r}.",
        ),
    ],
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Say what an application may do, instead of what it might before.

    Example: `appmsg app permit shop push push_org sync`
    """
    if NONE in permissions and len(permissions) > 1:
        raise BadInput("PERMISSION", " ".join(permissions), f"{NONE!r} alone, or permissions")
    wanted = [] if permissions == [NONE] else permissions
    _run(partial(_change, app_id, ApplicationChange(permissions=wanted)), files, overrides)


@app.command("list")
def list_applications(
    tenant: Annotated[
        str | None, typer.Option(help="Only its applications; '' = those of none.")
    ] = None,
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Print all applications."""

    async def use(applications: Applications, database: Database) -> list[Application]:
        tenants = [tenant] if tenant is not None else await database.read(_tenants)
        return [each for one in tenants for each in await _all_of(applications, one)]

    print("\n".join(_table(_run(use, files, overrides))))


def _run(use: Use[T], files: Files, overrides: Overrides) -> T:
    settings = load(files, overrides)
    database = Database(settings.database.limits)
    try:
        return trio.run(use, Applications(database, revoke=_nobody_to_tell), database)
    finally:
        database.close()


async def _nobody_to_tell(_app_id: str, _digest: str) -> None:
    await trio.lowlevel.checkpoint()


async def _change(
    app_id: str, wanted: ApplicationChange, applications: Applications, database: Database
) -> Application:
    tenant = await _tenant_of(database, app_id)
    return await applications.change(ME, app_id, wanted, tenant)


async def _tenant_of(database: Database, app_id: str) -> str:
    asked = sa.select(Model.tenant_id).where(Model.id == app_id)
    tenant = await database.read(lambda session: session.scalar(asked))
    if tenant is None:
        raise NotFound(f"application {app_id!r}: there is none of that id")
    return tenant


def _tenants(session: Session) -> list[str]:
    return list(session.scalars(sa.select(Model.tenant_id).distinct().order_by(Model.tenant_id)))


async def _all_of(applications: Applications, tenant: str) -> list[Application]:
    found: list[Application] = []
    paging: Paging | None = Paging(MAX_LIMIT)
    while paging is not None:
        page, more = await applications.page(ME, paging, tenant)
        found += page
        paging = Paging(MAX_LIMIT, (page[-1].id,)) if more else None
    return found


def _show_token(made: NewToken) -> None:
    print(made.token)
    if sys.stdout.isatty():
        print("Keep it now: nobody can show it again.", file=sys.stderr)


def _table(applications: Sequence[Application]) -> list[str]:
    rows = [("ID", "TENANT", "STATE", "PERMISSIONS", "NAME")]
    rows += [
        (
            each.id,
            each.tenant_id or "-",
            "disabled" if each.disabled else "enabled",
            ",".join(each.permissions) or NONE,
            each.name,
        )
        for each in applications
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]
