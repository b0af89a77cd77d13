"""The files with which a cluster is run: they are read here as their programs read them, and compared.

conf/cluster/ is what `make cluster` starts and what operators copy. nginx, HAProxy and systemd units say
the same about ports, time-outs and limits, or a test here names who does not.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appmodel.core.units import Duration, Size
from appmodel.errors import ConfigError
from appmodel.io.engines import parse_url
from appmodel.runtime import service
from appmodel.runtime.service import find_sections
from appmodel.runtime.settings import Settings, load_settings
from comet.config import CometConfig
from tools import cluster
from tools.topology import CALLERS, ENTRANCE, NODES, READY, ports, role_file
from web.config import WebConfig

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
ROLES = sorted(NODES)
TIMEOUT = "TimeoutStartSec"


def settings_of(role: str) -> Settings:
    """What a node of the cluster reads."""
    kinds = find_sections()
    files = [CONF / "cluster" / f"{name}.toml" for name in ("common", role)]
    return load_settings(kinds, files=files, environ={})


def blocks(text: str, kind: str) -> dict[str, str]:
    """The blocks of an nginx file with one line each: {"upstream comets": "least_conn; ..."}."""
    plain = re.sub(r"#[^\n]*", "", text)
    return {
        " ".join(head.split()): body
        for head, body in re.findall(rf"\b({kind}[^{{;]*)\{{([^{{}}]*)\}}", plain)
    }


def directives(text: str, name: str) -> list[str]:
    """The values of a directive of nginx, or of a keyword of HAProxy."""
    plain = re.sub(r"#[^\n]*", "", text)
    return [value.strip() for value in re.findall(rf"^\s*{name}\s+([^;\n]+)", plain, re.MULTILINE)]


def seconds(text: str) -> float:
    return float(Duration.parse(text))


# TOML


@pytest.mark.parametrize("role", ROLES)
def test_the_files_of_a_role_go_together(role: str) -> None:
    """With the common one they are the settings of a node, and no listener is open to strangers."""
    settings = settings_of(role)

    assert settings.auth.mode == "on"
    assert settings.registry.kind == "zookeeper"
    assert not settings.node.home


@pytest.mark.parametrize("role", ROLES)
def test_the_ports_of_a_role_are_the_usual_ones(role: str) -> None:
    """What the files name is what the code has by itself: so a file can leave it out."""
    named = {name: port - 100 for name, port in ports(role, 1).items()}
    kind = find_sections()[role]()

    assert named == {
        name: getattr(kind, name).port
        for name in kind.__struct_fields__
        if hasattr(getattr(kind, name), "port")
    }
    assert READY[role] in named


def test_no_file_holds_a_secret() -> None:
    """They are copied, committed and mailed."""
    for path in [*CONF.rglob("*.*"), ROOT / "compose.yaml", ROOT / "Dockerfile"]:
        said = re.findall(r"(?i)(?:secret|password|credentials)[ ]*[=:][ ]*(\S+)", path.read_text())
        literal = [value for value in said if not value.startswith(("${", '"var/', "...", "/etc/"))]
        assert literal == [], path


# nginx

EXAMPLE = (CONF / "cluster/nginx.conf").read_text()
SNIPPETS = {path.name: path.read_text() for path in (CONF / "nginx").glob("*.conf")}


def test_nginx_knows_where_everybody_is() -> None:
    """All comets and web nodes of `make cluster`, by their ports; and it listens where it is expected."""
    upstreams = blocks(EXAMPLE, "upstream")
    found = {
        name.removeprefix("upstream "): [
            int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", at)
        ]
        for name, at in upstreams.items()
    }

    comets = [ports("comet", n)["websocket"] for n in range(1, NODES["comet"] + 1)]
    webs = [ports("web", n) for n in range(1, NODES["web"] + 1)]
    assert found == {
        "comets": comets,
        **{f"comet{n}": [port] for n, port in enumerate(comets, start=1)},
        "lookups": [web["public"] for web in webs],
        "admin": [web["admin"] for web in webs],
        "app": [web["app"] for web in webs],
        "api": [web["api"] for web in webs],
    }
    listening = [
        int(re.sub(r"\D*127\.0\.0\.1:(\d+).*", r"\1", at)) for at in directives(EXAMPLE, "listen")
    ]
    assert listening == [*range(ENTRANCE, ENTRANCE + len(comets) + 1), CALLERS]


def test_nginx_is_more_patient_than_the_nodes() -> None:
    """Who knows better decides: the comet who is dead, the node how long a push may take and how big it is."""
    live = settings_of("comet").section(CometConfig).live
    web = settings_of("web").section(WebConfig)

    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        [patience] = directives(SNIPPETS["live.conf"], name)
        assert seconds(patience) > live.heartbeat_max + live.heartbeat_grace
    for name in ("lookups.conf", "people.conf", "callers.conf"):
        for patience in directives(SNIPPETS[name], "proxy_read_timeout"):
            assert seconds(patience) > max(web.push_timeout, web.read_timeout, web.files.timeout)
    for idle in directives(EXAMPLE, "keepalive_timeout"):
        assert seconds(idle) < web.api.http.idle_timeout
    [body] = directives(SNIPPETS["http.conf"], "client_max_body_size")
    assert Size.parse(body.replace("m", "MiB")) > web.api.http.max_body


def test_the_proxies_limit_what_the_comets_no_longer_see() -> None:
    """Behind them all clients have one address: what a comet allows it is what it takes in all."""
    limits = settings_of("comet").section(CometConfig).limits
    usual = CometConfig().limits.per_address

    assert limits.per_address >= limits.connections
    assert directives(SNIPPETS["live.conf"], "limit_conn") == [f"live {usual}"]
    assert f"sc0_conn_cur gt {usual}" in (CONF / "haproxy.cfg").read_text()


def test_haproxy_knows_the_usual_ports_and_is_patient() -> None:
    """Its example has machines of their own, so everybody is at the usual port."""
    text = (CONF / "haproxy.cfg").read_text()
    live = CometConfig().live
    comet, web = role_file("comet"), role_file("web")

    servers = set(re.findall(r"server \w+ 192\.0\.2\.\d+:(\d+)", text))
    assert servers == {
        str(section["port"])
        for section in (
            comet["tcp"],
            comet["websocket"],
            web["public"],
            web["app"],
            web["api"],
        )
    }
    checks = set(re.findall(r"check port (\d+)", text))
    assert checks == {str(comet["stat"]["port"]), str(web["api"]["port"])}
    long = [value for value in directives(text, "timeout (?:client|server|tunnel)") if "h" in value]
    assert max(map(seconds, long)) > live.heartbeat_max + live.heartbeat_grace


def test_both_proxies_let_people_ask_the_same() -> None:
    """The same part of /v2, and no push: nobody's token opens more behind one of them."""
    [nginx] = re.findall(r"location ~ \^/v2/\(\?:(\S+)\)\(", SNIPPETS["people.conf"])
    [haproxy] = re.findall(r"path_reg \^/v2/\((\S+)\)\(", (CONF / "haproxy.cfg").read_text())

    assert {*nginx.split("|"), "files"} == set(haproxy.split("|"))
    assert "push" not in haproxy


@pytest.mark.parametrize("role", ["comet", "web"])
def test_a_node_of_a_cluster_keeps_people_in_no_file(role: str) -> None:
    """Without the URL of its database it does not start: each node would have people of its own."""
    settings = settings_of(role)

    with pytest.raises(ConfigError, match=r"database\.url"):
        parse_url(str(settings.database.url))


# systemd

UNITS = {role: CONF / f"systemd/appmsg-{role}@.service" for role in ROLES}
UNITS["migrate"] = CONF / "systemd/appmsg-migrate.service"


def unit(role: str) -> dict[str, list[str]]:
    """The [Service] section; a key may come several times."""
    found: dict[str, list[str]] = {}
    section = UNITS[role].read_text().split("[Service]")[1].split("[Install]")[0]
    for line in section.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_starts_its_role_with_its_files(role: str) -> None:
    """Those of conf/cluster/, copied to /etc/appmsg."""
    [command] = unit(role)["ExecStart"]
    program, part, *options = shlex.split(command)

    assert Path(program).name == "appmsg"
    assert part == role
    files = [Path(value) for value in options if value.startswith("/etc/appmsg/")]
    assert [(CONF / "cluster" / file.name).exists() for file in files] == [True, True]
    assert "node.name=%i" in options
    assert unit(role)["Type"] == ["notify"]


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_is_more_patient_than_its_node(role: str) -> None:
    """systemd kills nobody who drains, and gives up nobody who waits for ZooKeeper."""
    settings, said = settings_of(role), unit(role)
    drain = settings.node.drain_timeout + service.PATIENCE + service.LAST_RESORT
    if role == "comet":
        drain += settings.section(CometConfig).restart.patience

    assert float(said["TimeoutStopSec"][0]) > drain
    assert float(said["TimeoutStartSec"][0]) > 2 * settings.node.start_timeout
    assert int(said["LimitNOFILE"][0]) > settings.node.open_files


def test_make_cluster_is_more_patient_than_its_nodes() -> None:
    """Whoever drains is not killed by `make cluster-stop`."""
    drains = [settings_of(role).node.drain_timeout for role in ROLES]

    assert max(drains) + service.PATIENCE + service.LAST_RESORT < cluster.PATIENCE


def test_units_are_hardened_alike() -> None:
    """What one may not do, no other needs."""
    own = {"ExecStart", "ExecReload", "TimeoutStopSec", "LimitNOFILE", "EnvironmentFile"}
    shared = [{k: v for k, v in unit(role).items() if k not in own} for role in ROLES]

    assert shared[0] == shared[1] == shared[2]
    migrate = {k: v for k, v in unit("migrate").items() if k not in (*own, "Type", TIMEOUT)}
    assert migrate == {k: v for k, v in shared[0].items() if k in migrate}
    assert {"NoNewPrivileges", "ProtectSystem", "SystemCallFilter", "DynamicUser"} <= set(migrate)


def test_who_needs_people_finds_their_database() -> None:
    """One file says where it is, for nodes and for the migration; message nodes are not told."""
    told = [role for role in UNITS if "/etc/appmsg/people.env" in unit(role)["EnvironmentFile"]]

    assert sorted(told) == ["comet", "migrate", "web"]


@pytest.mark.parametrize("role", UNITS)
def test_systemd_takes_the_unit(role: str, tmp_path: Path) -> None:
    """Nothing unknown in it, and little is left open: systemd's own measure, 10 is everything."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    file = tmp_path / UNITS[role].name
    text = UNITS[role].read_text().replace("/usr/local/lib/appmsg/bin/appmsg", sys.executable)
    file.write_text(text)

    verified = subprocess.run(
        [analyze, "verify", str(file)], capture_output=True, text=True, check=False
    )
    measured = subprocess.run(
        [analyze, "security", "--offline=yes", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert verified.stderr == ""
    exposure = re.search(r"exposure level for .*?: ([0-9.]+)", measured.stdout)
    assert exposure
    assert float(exposure[1]) < 2.0
