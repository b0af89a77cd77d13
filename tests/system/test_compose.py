"""compose.yaml and the Dockerfile: no engine runs here, so what can be compared is.

A service's settings are put together as the node would: its files, its environment, every value checked.
"""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from appmodel.core.units import Duration
from appmodel.runtime import service
from appmodel.runtime.service import find_sections
from appmodel.runtime.settings import Settings, load_settings
from message.config import MessageConfig
from tools.topology import CALLERS, ENTRANCE, NODES, READY, ports, role_file
from web.config import WebConfig

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
SECRET = "a secret that stands for the one of the cluster"
WITH_TOKENS = {
    "lightpush",
    "mpush",
}  # opened by whoever gives them a password or token of their own


def settings_of(role: str, environ: dict[str, str]) -> Settings:
    """What a node of that role reads, with this environment."""
    kinds = find_sections()
    files = [CONF / "cluster" / f"{name}.toml" for name in ("common", role)]
    return load_settings(kinds, files=files, environ=environ)


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def nodes(services: dict[str, Any]) -> dict[str, str]:
    """The services that are nodes, and their roles."""
    started = {name: said["command"][0] for name, said in services.items() if "build" in said}
    return {name: role for name, role in started.items() if role in NODES}


def test_compose_has_the_members_of_the_cluster() -> None:
    """As many of each role as `make cluster`, and all whom they need."""
    services = compose()["services"]
    roles = list(nodes(services).values())

    assert {role: roles.count(role) for role in set(roles)} == NODES
    assert {"redis", "postgres", "people", "nginx", "zookeeper1", "zookeeper2"} <= set(services)
    for said in services.values():
        assert set(said.get("depends_on", {})) <= set(services)


def environment_of(said: dict[str, Any]) -> dict[str, str]:
    """What a container is told; what comes from outside has some value."""
    given = {name: str(value) for name, value in said["environment"].items()}
    defaults = {name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value) for name, value in given.items()}
    return {name: re.sub(r"\$\{[^}]*\}", SECRET, value) for name, value in defaults.items()}


def test_the_nodes_of_compose_have_good_settings() -> None:
    """Each is reached by its own name at its usual ports, and by others than itself."""
    services = compose()["services"]
    for name, role in nodes(services).items():
        said = services[name]
        environ = environment_of(said)
        settings = settings_of(role, environ)

        assert settings.node.name == name
        assert settings.auth.secret == settings.rpc.secret == SECRET
        section: Any = settings.sections[role]
        usual = {listener: at["port"] for listener, at in role_file(role).items() if "port" in at}
        for listener, port in usual.items():
            assert getattr(section, listener).port == port
            if listener not in WITH_TOKENS:
                assert getattr(section, listener).host == "0.0.0.0"
        if role != "web":
            assert section.rpc.advertise == f"{name}:{usual['rpc']}"
        assert environ["READY"] == f"http://127.0.0.1:{usual[READY[role]]}/readyz"
        assert (
            Duration.parse(said["stop_grace_period"])
            > settings.node.drain_timeout + service.PATIENCE
        )
        assert [Path(word).name for word in said["command"] if word.endswith(".toml")] == [
            "common.toml",
            f"{role}.toml",
        ]
    zookeepers = settings_of("web", environ).registry.zookeeper.hosts
    assert [host.partition(":")[0] for host in zookeepers] == sorted(
        name for name in services if name.startswith("zookeeper")
    )


def test_the_message_nodes_of_compose_find_their_stores() -> None:
    """Redis and PostgreSQL by the names of their services."""
    services = compose()["services"]
    config = settings_of("message", environment_of(services["message1"])).section(MessageConfig)

    assert config.store == "redis"
    assert [at.partition(":")[0] for at in config.redis.addresses] == ["redis"]
    assert "@postgres:5432/appmsg" in str(config.sql.url)


def test_people_have_one_database_which_is_migrated_first() -> None:
    """PostgreSQL: a file in a container would be each node's own, and its folders are read-only."""
    services = compose()["services"]
    whose = {name: role for name, role in nodes(services).items() if role != "message"}
    for name, role in {**whose, "migrate": "web"}.items():
        database = settings_of(role, environment_of(services[name])).database

        assert str(database.url) == f"postgresql://people:{SECRET}@people:5432/people"
        if name != "migrate":
            needs = services[name]["depends_on"]["migrate"]
            assert needs == {"condition": "service_completed_successfully"}
    assert services["people"]["healthcheck"]


def test_web_nodes_know_their_proxy_and_share_their_files() -> None:
    """Else all logins have nginx's address, and what one node keeps is not found by the other."""
    read = compose()
    [network] = read["networks"]["inner"]["ipam"]["config"]
    for name, role in nodes(read["services"]).items():
        if role != "web":
            continue
        said = read["services"][name]
        web = settings_of("web", environment_of(said)).section(WebConfig)

        assert web.proxies == (network["subnet"],)
        assert said["volumes"] == [f"files:{web.files.folder}"]
        assert (
            f"install -d -o appmsg -m 0700 {web.files.folder}" in (ROOT / "Dockerfile").read_text()
        )


def test_only_nginx_can_be_reached_from_outside() -> None:
    """By the ports at which it listens, and from this machine alone."""
    services = compose()["services"]
    published = {name: said["ports"] for name, said in services.items() if "ports" in said}

    comets = NODES["comet"]
    entrance = f"{ENTRANCE}-{ENTRANCE + comets}"
    assert published == {
        "nginx": [f"127.0.0.1:{entrance}:{entrance}", f"127.0.0.1:{CALLERS}:{CALLERS}"]
    }
    for number in range(1, comets + 1):
        advertised = services[f"comet{number}"]["environment"]["APPMSG_COMET__WEBSOCKET__ADVERTISE"]
        assert advertised == f"127.0.0.1:{ENTRANCE + number}"


def test_both_nginx_files_say_the_same() -> None:
    """One has addresses of loopback, the other names of services."""
    said = (CONF / "cluster/nginx.conf").read_text()
    for number in range(1, NODES["comet"] + 1):
        port = ports("comet", number)["websocket"]
        said = said.replace(
            f"127.0.0.1:{port}", f"comet{number}:{role_file('comet')['websocket']['port']}"
        )
    for number in range(1, NODES["web"] + 1):
        for listener, port in ports("web", number).items():
            usual = role_file("web")[listener]["port"]
            said = said.replace(f"127.0.0.1:{port}", f"web{number}:{usual}")
    said = said.replace("listen 127.0.0.1:", "listen ")

    def code(text: str) -> str:
        return re.sub(r"#[^\n]*", "", text)

    assert code((CONF / "compose/nginx.conf").read_text()) == code(said)


def test_what_compose_mounts_is_there() -> None:
    """Each file of the checkout that a container sees."""
    for said in compose()["services"].values():
        for volume in said.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), volume


def let_in(path: Path) -> bool:
    """Whether .dockerignore lets a file of the checkout into the image's build: the last line decides."""
    name = path.relative_to(ROOT).as_posix()
    allowed = True
    for line in (ROOT / ".dockerignore").read_text().split():
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/") if pattern.startswith("**/") else None
        if pattern == "*" or f"{name}/".startswith(f"{pattern}/") or anywhere in path.parts:
            allowed = line.startswith("!")
    return allowed


def read_packages() -> list[str]:
    """What pyproject.toml calls packages, as folders."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        names: list[str] = tomllib.load(file)["tool"]["setuptools"]["packages"]
    return [name.replace(".", "/") for name in names]


@pytest.mark.slow
def test_the_image_is_built_from_what_is_let_in(tmp_path: Path) -> None:
    """Every package and every page is in the wheel; nothing is, that a developer left lying around."""
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools is older than pyproject.toml asks for")
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: which files belong to the project is not known")
    source, made = tmp_path / "source", tmp_path / "made"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [path for name in listed.stdout.splitlines() if let_in(path := ROOT / name)]
    for file in files:
        (source / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, source / file.relative_to(ROOT))

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "-w", str(made), str(source)]
    subprocess.run(command, check=True, capture_output=True)

    [wheel] = made.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {
        name for name in read_packages() if not any(n.startswith(f"{name}/") for n in packed)
    } == set()
    code = {
        path.relative_to(ROOT).as_posix().removeprefix("clients/python/")
        for path in files
        if path.suffix == ".py" or "static" in path.parts
    }
    assert {
        name for name in packed if ".dist-info/" not in name and not name.endswith("py.typed")
    } == code


def test_the_image_copies_what_is_let_in() -> None:
    """`COPY conf/cluster` of a Dockerfile fails late, on somebody else's machine."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    for name in copied:
        found = [path for path in [ROOT / name, *(ROOT / name).rglob("*.toml")] if path.is_file()]
        assert name == "." or any(let_in(path) for path in found), name
