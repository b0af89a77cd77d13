"""`appmsg config`, and how every command reads the settings."""

from pathlib import Path
from typing import Annotated

import typer

from appmodel.runtime.logs import configure_logs
from appmodel.runtime.reference import defaults_markdown, defaults_toml, show_toml
from appmodel.runtime.service import find_sections
from appmodel.runtime.settings import SHARED, Settings, load_settings
from appmodel.runtime.worker import is_worker

Files = Annotated[
    list[Path],
    typer.Option("--config", metavar="FILE", help="TOML; repeatable. Else conf/appmsg.toml."),
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeatable."),
]

app = typer.Typer(help="Look at the settings.", no_args_is_help=True)


def load(files: list[Path], overrides: list[str]) -> Settings:
    """The settings of all installed parts: nodes may share a file.

    From then on this process logs as they say.

    Raises:
        ConfigError: a key is unknown or a value is wrong.
    """
    settings = load_settings(find_sections(), files=files, overrides=overrides)
    configure_logs(settings.log, node=settings.node.name if is_worker() else "")
    return settings


@app.command()
def show(files: Files = [], overrides: Overrides = []) -> None:
    """Print the settings in force, and where each was set. Secrets are masked.

    Example: `appmsg config show --set comet.tcp.port=7000 | grep "set by"`
    """
    settings = load(files, overrides)
    print(show_toml(settings), end="")


@app.command()
def check(files: Files = [], overrides: Overrides = []) -> None:
    """Exit with 0 if the settings are right, else with 2 and the first thing that is wrong.

    Example: `appmsg config check --config conf/cluster.toml`
    """
    settings = load(files, overrides)
    print(f"{len(settings.origins)} settings, all right")


@app.command()
def defaults(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/configuration.md.")] = False,
) -> None:
    """Print every key with its default and meaning, as a file to start from.

    Example: `appmsg config defaults > conf/appmsg.toml`
    """
    kinds = {**SHARED, **find_sections()}
    print(defaults_markdown(kinds) if markdown else defaults_toml(kinds), end="")
