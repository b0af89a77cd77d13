"""The command `appmsg`: what people type, what they see, and what scripts get."""

import json
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appmodel.core.credentials import Credentials
from appmodel.core.mpush_tokens import OWN, verify
from appmodel.core.names import Key
from appmodel.runtime import cli

SECRET = "0123456789" * 4
APPMSG = Path(sys.executable).with_name("appmsg")
FREE_PORTS = [
    f"{key}=0"
    for key in (
        "comet.websocket.port",
        "comet.tcp.port",
        "comet.socketio.port",
        "comet.mpush.port",
        "comet.stat.port",
        "message.ops.port",
        "web.public.port",
        "web.admin.port",
        "web.app.port",
        "web.api.port",
        "web.lightpush.port",
        "web.mpush.port",
    )
]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `appmsg` in an empty directory: run("config", "check")."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["appmsg", *arguments])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        out, err = capsys.readouterr()
        code = exited.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    return run_command


def test_a_wrong_setting_is_one_line_and_exit_code_2(run: Run) -> None:
    """Nobody should read a traceback to find a typing slip."""
    done = run("up", "--set", "comet.tcp.prot=1")

    assert done.code == 2
    assert done.err.startswith("appmsg: comet.tcp.prot (set by --set): unknown key, did you mean")
    assert done.err.count("\n") == 1


def start_refused(place: Path, *flags: str) -> Done:
    """`appmsg up`, which is expected to end by itself."""
    command = [str(APPMSG), "up", *(f"--set={key}" for key in (*FREE_PORTS, *flags))]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=30, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_taken_port_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """It names the address, also when other parts were running already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = start_refused(tmp_path, f"web.api.port={port}")

    assert (done.code, done.out) == (2, "")
    assert f"127.0.0.1:{port}" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_node_without_auth_does_not_leave_home(tmp_path: Path) -> None:
    """Design law 10: it refuses to start, with the keys to set."""
    done = start_refused(tmp_path, "web.api.host=0.0.0.0")

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith(
        "appmsg: web.api.host = '0.0.0.0': without authentication"
    )
    assert 'auth.mode = "on"' in done.err


def test_settings_can_be_checked_and_shown(run: Run) -> None:
    """Before a restart, and after one."""
    Path("ours.toml").write_text('[node]\nname = "n7"\n')

    checked = run("config", "check", "--config", "ours.toml")
    shown = run("config", "show", "--config", "ours.toml", "--set", f"rpc.secret={SECRET}")
    refused = run("config", "check", "--config", "missing.toml")

    assert (checked.code, checked.out) == (0, "1 settings, all right\n")
    assert tomllib.loads(shown.out)["node"]["name"] == "n7"
    assert '"n7"  # set by ours.toml' in shown.out
    assert SECRET not in shown.out
    assert (refused.code, refused.err) == (2, "appmsg: missing.toml: No such file or directory\n")


def test_the_defaults_are_settings_that_change_nothing(run: Run) -> None:
    """`appmsg config defaults > conf/appmsg.toml` is a start for one's own."""
    plain = run("config", "show").out

    Path("conf").mkdir()
    Path("conf/appmsg.toml").write_text(run("config", "defaults").out)

    written = tomllib.loads(run("config", "show").out)
    assert written == tomllib.loads(plain)
    assert run("config", "check").code == 0


@pytest.mark.parametrize(
    ("arguments", "owner"),
    [
        (["Terry-Mao"], "node1\n"),
        (["u1@user", "--node", "node2"], "node2\n"),
        (["u1@user", "--node", "a=0", "--node", "b=1"], "b\n"),
        (["u1@user", "u1_Android-d1@user", "--node", "n1", "--node", "n2", "--node", "n3"], None),
        (["u1@user", "u1_Android-d1@user", "--node", "n1", "--node", "n2", "--ring", "murmur"], None),
    ],
)  # fmt: skip
def test_ring_tells_the_owner(run: Run, arguments: list[str], owner: str | None) -> None:
    """The name alone for one key, a line each for several; a session is where its user is."""
    done = run("ring", *arguments)

    assert done.code == 0
    if owner is not None:
        assert done.out == owner
    else:
        lines = [line.split("\t") for line in done.out.splitlines()]
        assert [line[0] for line in lines] == ["u1@user", "u1_Android-d1@user"]
        assert lines[0][1] == lines[1][1]


def test_ring_reads_the_comets_of_the_settings(run: Run) -> None:
    """Of a cluster that is listed in a file."""
    Path("c.toml").write_text(
        '[[registry.nodes]]\nrole = "comet"\nname = "c9"\nrpc = "127.0.0.1:1"'
    )

    assert run("ring", "x", "--config", "c.toml").out == "c9\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ring", "x", "--node", "a=b"], "--node: got 'a=b', expected a name, or a name and its weight"),
        (["ring", "x", "--node", "a=0"], "x: no comet is ready and has a weight"),
        (["ring", ""], "key: got ''"),
        (["push", "u1@user", "hello"], "JSON: got 'hello', expected JSON text"),
        (["push", "u1@user", "1", "--url", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["listen", "u1@user", "--url", "nonsense"], "nonsense"),
        (["token", "issue"], "token: got 'neither', expected either --scope or --key"),
        (["token", "issue", "--key", "k", "--scope", "push"], "token: got 'both'"),
        (["token", "issue", "--key", "k", "--mpush"], "token: got 'both'"),
        (["token", "issue", "--key", "k", "--device", "d"], "token: got '--device', expected it with --mpush"),
        (["token", "issue", "--mpush", "--set", f"auth.secret={SECRET}"], "device: got 0, expected 1 to"),
        (["token", "issue", "--key", "k", "--ttl", "soon", "--set", f"auth.secret={SECRET}"], "--ttl: got 'soon', expected a duration"),
        (["token", "issue", "--key", "k"], "auth.mode = 'off': to issue credentials set"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named(run: Run, arguments: list[str], message: str) -> None:
    """One line on stderr, nothing on stdout, and not 0."""
    done = run(*arguments)

    assert done.code in (1, 2)
    assert done.out == ""
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_access_token_can_be_issued(run: Run) -> None:
    """On stdout alone, for $(...), signed with the secret of the nodes."""
    before = Credentials(SECRET.encode())

    done = run(
        "token", "issue", "--scope", "push", "--scope", "read", "--realm", "shop", "--subject", "crm",
        "--ttl", "1h", "--set", f"auth.secret={SECRET}",
    )  # fmt: skip

    caller = before.verify_token(done.out.strip(), now=time.time())
    assert caller.scopes == {"push", "read"}
    assert (caller.realm, caller.subject) == ("shop", "crm")
    assert caller.expires_at - caller.issued_at == 3600


def test_a_ticket_can_be_issued(run: Run) -> None:
    """For one key; without --ttl as long as auth.ticket_ttl says."""
    done = run("token", "issue", "--key", "u1@user", "--set", f"auth.secret={SECRET}")

    ticket = Credentials(SECRET.encode()).verify_ticket(done.out.strip(), now=time.time())
    assert ticket.key == Key("", "u1", "user")
    assert ticket.expires_at - ticket.issued_at == 3600


@pytest.mark.parametrize("flags", [(), ("publish",), ("connect", "publish", "read")])
def test_a_token_of_mpush_can_be_issued(run: Run, flags: tuple[str, ...]) -> None:
    """For devices by name and by pattern; without a flag for what a device does for itself."""
    given = [f"--{flag}" for flag in flags]

    done = run(
        "token", "issue", "--mpush", "--device", "phone", "--device", "pi-*", *given,
        "--set", f"auth.secret={SECRET}",
    )  # fmt: skip

    grant = verify(Credentials(SECRET.encode()), done.out.strip(), now=time.time())
    assert grant.names == ("phone", "pi-*")
    assert grant.rights == set(flags or OWN)
    assert grant.expires_at - grant.issued_at == 30 * 86400


def test_a_home_node_and_the_command_share_the_secret(run: Run) -> None:
    """With auth on, whoever comes first makes var/secret, and the other reads it."""
    done = run("token", "issue", "--key", "k", "--set", "auth.mode=on")

    secret = Path("var/secret").read_bytes().strip()
    assert Credentials(secret).verify_ticket(done.out.strip(), now=time.time()).key == Key(
        "", "k", ""
    )


@pytest.mark.parametrize(
    "command",
    [
        ["up"], ["comet"], ["message"], ["web"], ["push"], ["listen"], ["ring"], ["token", "issue"],
        ["config", "show"], ["config", "check"], ["config", "defaults"],
    ],
)  # fmt: skip
def test_every_command_explains_itself(run: Run, command: list[str]) -> None:
    """With an example that can be pasted."""
    done = run(*command, "--help")

    assert done.code == 0
    assert "Example" in done.out


@dataclass(frozen=True)
class HomeNode:
    """A running `appmsg up` with its addresses."""

    process: subprocess.Popen[str]
    addresses: dict[str, str]
    printed: list[str]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HomeNode]:
    """`appmsg up` in an empty directory, on free ports."""
    with (tmp_path / "stderr").open("w+") as stderr:
        process = subprocess.Popen(
            [APPMSG, "up", *(f"--set={key}" for key in FREE_PORTS)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        printed: list[str] = []
        assert process.stdout is not None
        try:
            for line in process.stdout:
                printed.append(line.rstrip())
                if line.startswith("Ready in"):
                    break
            else:
                stderr.seek(0)
                raise AssertionError(stderr.read())
            pairs = [line.split(maxsplit=1) for line in printed]
            yield HomeNode(process, {pair[0]: pair[1] for pair in pairs if len(pair) == 2}, printed)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_home_node_shows_the_way_and_can_be_used_at_once(home: HomeNode, tmp_path: Path) -> None:
    """What is printed works as it stands: the push is pasted into a shell, and `listen` finds it."""
    paste, mpush = (line[line.index("curl") :] for line in home.printed if line.startswith("Push"))
    assert (tmp_path / home.addresses["Listen"].split()[0]).samefile(APPMSG)

    answer, word = (
        subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
        for line in (paste, mpush)
    )
    assert word == "no\n"  # no page has logged in as this device yet
    pushed = subprocess.run(
        [APPMSG, "push", "u1@user", '["second"]', "--ttl", "1m", "--url", home.addresses["web.api"]],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    heard = subprocess.run(
        [APPMSG, "listen", "u1@user", "--mid", "0", "--count", "2", "--url", home.addresses["web.public"]],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip

    ids = [json.loads(text)["results"][0]["id"] for text in (answer, pushed.stdout)]
    assert [json.loads(line) for line in heard.stdout.splitlines()] == [
        {"mid": ids[0], "msg": {"text": "hello"}},
        {"mid": ids[1], "msg": ["second"]},
    ]
    assert heard.stderr.startswith(f"# connected to {home.addresses['comet.websocket']}")


def test_a_home_node_is_observed_and_stops(home: HomeNode, tmp_path: Path) -> None:
    """/healthz, /readyz and /metrics answer; SIGTERM ends it with 0; its data stays under var/."""
    for path in ("healthz", "readyz", "metrics"):
        with urllib.request.urlopen(f"{home.addresses['web.api']}/{path}") as answer:
            assert answer.status == 200

    home.process.send_signal(signal.SIGTERM)

    assert home.process.wait(timeout=30) == 0
    assert list((tmp_path / "var").iterdir())
