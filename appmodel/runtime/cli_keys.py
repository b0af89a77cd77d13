"""`appmsg ring` and `appmsg token issue`: who owns a key, and credentials for it."""

import enum
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import trio
import typer

from appmodel.core import mpush_tokens
from appmodel.core.cluster import ClusterView, Node, RingKind, Role
from appmodel.core.credentials import Credentials
from appmodel.core.mpush_tokens import Right
from appmodel.core.names import parse_key
from appmodel.core.units import Duration
from appmodel.errors import BadInput, ConfigError, NoNode
from appmodel.runtime.cli_config import Files, Overrides, load
from appmodel.runtime.cli_nodes import Cluster, in_cluster
from appmodel.runtime.config import load_secret
from appmodel.runtime.service import credentials_secret
from appmodel.runtime.settings import Settings

ACCESS_LIFE = Duration(30 * 86400)  # of an access token, unless asked otherwise

token_app = typer.Typer(help="Credentials.", no_args_is_help=True)


class Scope(enum.StrEnum):
    """What an access token allows; see appmodel/core/credentials.py."""

    PUSH = "push"
    READ = "read"
    TICKET = "ticket"
    ADMIN = "admin"


def ring(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Such as u1@user.")],
    nodes: Annotated[
        list[str],
        typer.Option(
            "--node",
            metavar="NAME[=WEIGHT]",
            help="A comet. Else those in ZooKeeper, or those of the settings.",
        ),
    ] = [],
    kind: Annotated[
        RingKind | None, typer.Option("--ring", help="Else that of the settings.")
    ] = None,
    realm: Annotated[str, typer.Option(help="The keys' realm.")] = "",
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Print the comet that owns each key.

    With registry.kind = "zookeeper" the comets that share the keys now are asked for there.

    Examples: `appmsg ring u1@user u2@user --node n1 --node n2=2 --ring sha` and
    `appmsg ring u1@user --config conf/cluster/common.toml`
    """
    settings = load(files, overrides)
    comets = [_comet(text) for text in nodes] or _comets_of(settings)
    view = ClusterView(0, tuple(comets), kind or settings.registry.ring)
    for text in keys:
        owner = view.owner(parse_key(text, realm))
        if owner is None:
            raise NoNode(f"{text}: no comet is ready and has a weight")
        print(owner.name if len(keys) == 1 else f"{text}\t{owner.name}")


def _comets_of(settings: Settings) -> list[Node]:
    """Those in ZooKeeper; else the comets of [[registry.nodes]]; without any, the one of this node."""
    if settings.registry.kind == "zookeeper":
        return in_cluster(_registered_comets, settings)
    comets = [node.node() for node in settings.registry.nodes if node.role is Role.COMET]
    return comets or [Node(Role.COMET, settings.node.name)]


async def _registered_comets(cluster: Cluster) -> list[Node]:
    await trio.lowlevel.checkpoint()
    return list(cluster.registry.view.comets.values())


def _comet(text: str) -> Node:
    name, _, weight = text.partition("=")
    if not name or not (weight or "1").isdecimal():
        raise BadInput("--node", text, "a name, or a name and its weight, such as n1=2")
    return Node(Role.COMET, name, weight=int(weight or "1"))


@token_app.command()
def issue(
    scopes: Annotated[
        list[Scope], typer.Option("--scope", help="An access token may do this; repeatable.")
    ] = [],
    key: Annotated[str, typer.Option(help="A ticket: may subscribe to this key.")] = "",
    mpush: Annotated[bool, typer.Option("--mpush", help="A token for devices of Mpush.")] = False,
    devices: Annotated[
        list[str],
        typer.Option(
            "--device",
            metavar="NAME|PATTERN",
            help="Mpush: this device, or those that match; NAME.group: a group; repeatable.",
        ),
    ] = [],
    connect: Annotated[bool, typer.Option("--connect", help="Mpush: may log in as it.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="Mpush: may push to it.")] = False,
    read: Annotated[bool, typer.Option("--read", help="Mpush: may read what came to it.")] = False,
    ttl: Annotated[
        str,
        typer.Option(
            help="How long it is good. Else 30d for a token, auth.ticket_ttl for a ticket."
        ),
    ] = "",
    realm: Annotated[str, typer.Option(help="The realm of the caller, or of the key.")] = "",
    subject: Annotated[str, typer.Option(help="Who the caller is, for the log.")] = "",
    files: Files = [],
    overrides: Overrides = [],
) -> None:
    """Print an access token for callers of the REST API, a ticket for a subscriber, or a token of Mpush.

    All are signed with auth.secret, which must be that of the nodes, and revoked by their id.
    One of Mpush without --connect, --publish or --read may do what a device does for itself: log in, and read.

    Examples: `appmsg token issue --scope push --ttl 90d` and `appmsg token issue --key u1@user` and
    `appmsg token issue --mpush --device 'sensor-*' --publish`
    """
    kinds = [bool(scopes), bool(key), mpush]
    if sum(kinds) != 1:
        got = "both" if any(kinds) else "neither"
        raise BadInput("token", got, "either --scope or --key or --mpush")
    wanted = {Right.CONNECT: connect, Right.PUBLISH: publish, Right.READ: read}
    rights = [right for right, is_wanted in wanted.items() if is_wanted]
    if not mpush and (devices or rights):
        got = "--device" if devices else f"--{rights[0]}"
        raise BadInput("token", got, "it with --mpush only")
    settings = load(files, overrides)
    credentials = Credentials(_signing_secret(settings))
    now = time.time()
    seconds = _ttl(ttl or (settings.auth.ticket_ttl if key else ACCESS_LIFE))
    told = ""
    if key:
        text = credentials.issue_ticket(parse_key(key, realm), now=now, ttl=seconds)
    elif mpush:
        text, grant = mpush_tokens.issue(
            credentials, rights, devices, now=now, ttl=seconds, subject=subject
        )
        told = f"id {grant.id}, may {' and '.join(sorted(grant.rights))}, "
    else:
        text = credentials.issue_token(scopes, realm=realm, subject=subject, now=now, ttl=seconds)
    print(text)
    if sys.stdout.isatty():
        until = datetime.fromtimestamp(now + seconds, UTC).isoformat(" ", "seconds")
        print(f"{told}good until {until}", file=sys.stderr)


def _ttl(value: object) -> float:
    try:
        return Duration.parse(value)
    except ValueError:
        raise BadInput("--ttl", value, Duration.EXPECTED) from None


def _signing_secret(settings: Settings) -> bytes:
    """That of the nodes. While auth is off they have none, unless it is configured."""
    auth = settings.auth
    secret = load_secret("auth", auth.secret, auth.secret_file)
    if not secret and auth.mode == "off":
        expected = 'to issue credentials set auth.mode = "on" (and auth.secret) for the nodes too'
        raise ConfigError("auth.mode", auth.mode, expected)
    return (secret or credentials_secret(settings)).encode()
