"""`appmsg push` and `appmsg listen`: clients of a running cluster.

The client library is imported when it is used: an eighth of the time to start of a node that does not.
"""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import trio
import typer
from rich.console import Console
from rich.table import Table

from appmodel.errors import BadInput, PushError

if TYPE_CHECKING:
    from appmsg_client import Connected, Disconnected

API = "http://127.0.0.1:8094"
PUBLIC = "http://127.0.0.1:8090"


def push(
    name: Annotated[str, typer.Argument(help="Who it is for, such as u1@user.")],
    message: Annotated[str, typer.Argument(metavar="JSON", help="What they get: any JSON text.")],
    ttl: Annotated[str, typer.Option(help="Kept this long for who is away: 10m, 7d.")] = "0",
    url: Annotated[str, typer.Option(help="web.api of a web node.")] = API,
    token: Annotated[
        str, typer.Option(envvar="APPMSG_TOKEN", help="Access token with the scope push.")
    ] = "",
) -> None:
    """Push a message to a name.

    Prints web's answer: a table on a terminal, else JSON.

    Example: `appmsg push u1@user '{"text": "hello"}' --ttl 10m`
    """
    import appmsg_client

    try:
        body = json.loads(message)
    except ValueError:
        expected = """JSON text, such as '{"text":"hello"}' or '"hello"'"""
        raise BadInput("JSON", message, expected) from None

    async def send() -> dict[str, Any]:
        return await appmsg_client.push(name, body, api=url, token=token, ttl=ttl)

    try:
        answer = trio.run(send)
    except appmsg_client.PushFailed as failure:
        raise PushError.with_message(str(failure)) from None
    _print_answer(answer)
    if any("error" in result for result in answer.get("results", ())):
        raise typer.Exit(1)


def _print_answer(answer: dict[str, Any]) -> None:
    if not sys.stdout.isatty():
        print(json.dumps(answer, ensure_ascii=False))
        return
    table = Table("name", "id", "stored", "online", "error")
    for result in answer.get("results", ()):
        columns = ("name", "id", "stored", "online", "error")
        table.add_row(*(str(result.get(column, "")) for column in columns))
    Console().print(table)


def listen(
    key: Annotated[str, typer.Argument(help="What to subscribe to, such as u1@user.")],
    mid: Annotated[
        int | None,
        typer.Option(min=0, help="Replay what is newer than this id; 0: all that is kept."),
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="End after so many messages; 0: never.")] = 0,
    url: Annotated[str, typer.Option(help="web.public of a web node.")] = PUBLIC,
    token: Annotated[str, typer.Option(envvar="APPMSG_TICKET", help="Ticket for the key.")] = "",
) -> None:
    """Print the messages of a key, one JSON text per line, and stay through every loss.

    What happens to the connection is told on stderr. Ends with Ctrl-C.

    Example: `appmsg listen u1@user --mid 0`
    """
    import appmsg_client

    async def receive() -> None:
        left = count
        async with appmsg_client.subscribe(
            key, web=url, token=token, mid=mid, acknowledge=True, on_event=_tell
        ) as messages:
            async for message in messages:
                print(
                    json.dumps({"mid": message.mid, "msg": message.msg}, ensure_ascii=False),
                    flush=True,
                )
                left -= 1
                if left == 0:
                    return

    try:
        trio.run(receive)
    except appmsg_client.Refused as refusal:
        raise PushError.with_message(str(refusal)) from None
    except ValueError as error:  # an argument out of its range, such as a bad URL
        raise PushError.with_message(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _tell(event: "Connected | Disconnected") -> None:
    from appmsg_client import Connected, Disconnected

    match event:
        case Connected(server=server):
            text = f"connected to {server}"
        case Disconnected(code=code, reason=reason, retry_in=None):
            text = f"disconnected: {code} {reason}"
        case Disconnected(code=code, reason=reason, retry_in=pause):
            text = f"disconnected: {code} {reason}; next try in {pause:.1f} s"
    print(f"# {text}", file=sys.stderr)
