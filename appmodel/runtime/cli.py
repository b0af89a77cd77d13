"""The command `appmsg`.

    appmsg up                      message, comet and web in one process
    appmsg comet | message | web   one of them, for a cluster
    appmsg push | listen           send to a name, and watch a key
    appmsg ring | token issue      who owns a key; a credential
    appmsg node list | drain | undrain | weight | watch
    appmsg migrate [up | down | status | adopt]
    appmsg config show | check | defaults
    appmsg app create | rotate | disable | enable | permit | list

Packages add commands by the entry points `appmsgsrv.commands`: a function, or a Typer with some of them.

Exit codes: 0 done, 1 failed, 2 a wrong command or setting, 130 interrupted.
"""

import gc
import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

import typer

from appmodel.errors import ConfigError, PushError
from appmodel.runtime.cli_clients import listen, push
from appmodel.runtime.cli_config import Files, Overrides, load
from appmodel.runtime.cli_config import app as config_app
from appmodel.runtime.cli_keys import ring, token_app
from appmodel.runtime.cli_migrate import migrate
from appmodel.runtime.cli_nodes import app as node_app
from appmodel.runtime.logs import flush_logs
from appmodel.runtime.service import COLLECT, Address, credentials_secret, find_parts, run
from appmodel.runtime.supervisor import find_crew, supervise
from appmodel.runtime.tour import own_name, tour

COMMANDS = "appmsgsrv.commands"  # entry points
MODULE = "appmodel.runtime.cli"  # this one: how workers are started

app = typer.Typer(
    help="A push and messaging cluster: comet, message and web nodes.",
    epilog="`appmsg COMMAND --help` shows examples.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def main() -> None:
    """Entry point. What is refused on purpose is one line on stderr; a bug is a traceback."""
    gc.set_threshold(*COLLECT)
    try:
        app()
    except PushError as error:
        flush_logs()
        print(f"appmsg: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:  # `appmsg listen ... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def up(files: Files = [], overrides: Overrides = []) -> None:
    """Run message, comet and web in one process.

    Without any setting this is home mode: loopback, SQLite under var/, no credential needed.

    Example: `appmsg up --set node.name=n1 --set comet.websocket.port=7968`
    """
    _serve(("message", "comet", "web"), files, overrides)


@app.command()
def comet(files: Files = [], overrides: Overrides = []) -> None:
    """Run a comet node: it holds the clients' connections.

    With `comet.workers` above 1 it runs that many processes. SIGHUP replaces them one after the other.

    Example: `appmsg comet --config conf/cluster.toml --set node.name=comet1`
    """
    _serve(("comet",), files, overrides)


@app.command()
def message(files: Files = [], overrides: Overrides = []) -> None:
    """Run a message node: it keeps what was not delivered.

    Example: `appmsg message --config conf/cluster.toml --set node.name=message1`
    """
    _serve(("message",), files, overrides)


@app.command()
def web(files: Files = [], overrides: Overrides = []) -> None:
    """Run a web node: REST for business systems and clients.

    Example: `appmsg web --config conf/cluster.toml --set node.name=web1`
    """
    _serve(("web",), files, overrides)


def _serve(names: tuple[str, ...], files: Files, overrides: Overrides) -> None:
    settings = load(files, overrides)

    def greet(addresses: Sequence[Address], seconds: float) -> None:
        if settings.node.home:
            auth = settings.auth.mode == "on"
            print(tour(addresses, seconds, appmsg=own_name(), auth=auth), flush=True)

    chosen = list(find_parts(names).values())
    crew = find_crew(chosen, settings)
    if crew is None:
        sys.exit(run(chosen, settings, began=_began(), on_ready=greet))
    credentials_secret(settings)  # a home node makes it once; the workers share it
    sys.exit(
        supervise(
            crew,
            [sys.executable, "-P", "-m", MODULE, crew.part, *_flags(files, overrides)],
            reload=lambda: find_crew(chosen, load(files, overrides)),
            began=_began(),
            on_ready=greet,
        )
    )


def _flags(files: Files, overrides: Overrides) -> list[str]:
    """What `files` and `overrides` were made from."""
    given = [*(("--config", str(path)) for path in files), *(("--set", text) for text in overrides)]
    return [word for pair in given for word in pair]


def _began() -> float:
    """`time.monotonic()` at the start of the process: its imports are part of the wait."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:  # not Linux
        return time.monotonic()
    return time.monotonic() - (uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


app.command()(push)
app.command()(listen)
app.command()(ring)
app.command()(migrate)
app.add_typer(token_app, name="token")
app.add_typer(node_app, name="node")
app.add_typer(config_app, name="config")
for entry in sorted(entry_points(group=COMMANDS)):
    found = entry.load()
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=entry.name)
    else:
        app.command(entry.name)(found)

if __name__ == "__main__":
    main()
