"""Settings: three layers, every value checked, no error shows a secret."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.cluster import RingKind, Role
from appmodel.core.units import Duration, Size
from appmodel.errors import ConfigError
from appmodel.runtime import settings as settings_module
from appmodel.runtime.config import AuthConfig, Count, NodeConfig, Port, Secret, Section, StaticNode
from appmodel.runtime.settings import Settings, load_settings

SECRET = "s3cret-" * 8


class DoorConfig(Section, frozen=True):
    """[shop.door]. Where customers come in."""

    host: str = "127.0.0.1"
    port: Port = 6969  # of the original
    origins: tuple[str, ...] = ()


class ShelfConfig(Section, frozen=True):
    """[shop.shelves.<name>]."""

    width: Count


class ShopConfig(Section, frozen=True):
    """[shop]."""

    name: str = "corner"
    mode: Literal["open", "closed"] = "open"
    door: DoorConfig = DoorConfig()
    shelves: dict[str, ShelfConfig] = msgspec.field(default_factory=dict)
    wait: Duration = Duration(5)
    room: Size = Size(1024)
    sign: Annotated[str, msgspec.Meta(pattern="^[a-z]*$")] = ""
    till: Path | None = None
    keys: Secret | None = None

    def __post_init__(self) -> None:
        if self.name == self.sign:
            raise ValueError("name and sign must differ")


def load(tmp_path: Path, toml: str = "", *flags: str, **environ: str) -> Settings:
    """Settings with a [shop], from these three layers."""
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    return load_settings({"shop": ShopConfig}, files=[file], environ=environ, overrides=flags)


def shop(tmp_path: Path, toml: str = "", *flags: str, **environ: str) -> ShopConfig:
    return load(tmp_path, toml, *flags, **environ).section(ShopConfig)


def test_without_any_setting_there_are_the_defaults(tmp_path: Path) -> None:
    """A node starts at home without a single setting: loopback, no credential."""
    settings = load(tmp_path)

    assert settings.section(ShopConfig) == ShopConfig()
    assert settings.node == NodeConfig()
    assert settings.auth.mode == "off"
    assert settings.origins == {}


def test_a_later_layer_wins_key_by_key(tmp_path: Path) -> None:
    """File < environment < flags, and what a layer does not name stays."""
    toml = '[shop]\nname = "file"\n[shop.door]\nport = 1\nhost = "::1"\norigins = ["a"]'

    settings = load(
        tmp_path, toml, "shop.door.port=3", APPMSG_SHOP__DOOR__PORT="2", APPMSG_SHOP__NAME="env"
    )

    assert settings.section(ShopConfig).door == DoorConfig(host="::1", port=3, origins=("a",))
    assert settings.section(ShopConfig).name == "env"
    assert settings.origins["shop.door.port"] == "--set"
    assert settings.origins["shop.name"] == "APPMSG_SHOP__NAME"
    assert settings.origins["shop.door.host"].endswith("settings.toml")


def test_the_default_file_is_read_unless_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--config` replaces conf/appmsg.toml, so what is in force is what was named."""
    default, other = tmp_path / "default.toml", tmp_path / "other.toml"
    default.write_text('[node]\nname = "from-default"')
    other.write_text("[node]\nhome = false")
    monkeypatch.setattr(settings_module, "DEFAULT_FILE", default)

    implied = load_settings({}, environ={})
    named = load_settings({}, files=[other], environ={})

    assert implied.node.name == "from-default"
    assert (named.node.name, named.node.home) == ("node1", False)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("shop.door.port=7", 7),
        ('shop.door.origins=["a","b"]', ("a", "b")),
        ("shop.wait=500ms", 0.5),
        ("shop.wait=7", 7.0),
        ("shop.room=64KiB", 65536),
        ("shop.name=7", "7"),
        ("shop.name=true", "true"),
        ("shop.name=a=b", "a=b"),
        ("shop.till=/var/till", Path("/var/till")),
        ("shop.shelves.top.width=3", {"top": ShelfConfig(width=3)}),
        ("shop.shelves={top={width=3}}", {"top": ShelfConfig(width=3)}),
    ],
)
def test_a_text_becomes_what_its_key_needs(tmp_path: Path, flag: str, value: object) -> None:
    """The environment and flags know only texts: a name may be "7", a port is a number."""
    name = flag.partition("=")[0].split(".")
    loaded: object = load(tmp_path, "", flag).sections["shop"]

    for step in name[1:]:
        loaded = loaded[step] if isinstance(loaded, dict) else getattr(loaded, step)
        if isinstance(loaded, dict):
            break

    assert loaded == value


def test_tables_of_an_array_are_checked_too(tmp_path: Path) -> None:
    """[[registry.nodes]] names the processes of a small cluster."""
    toml = (
        '[registry]\nring = "murmur"\n[[registry.nodes]]\nrole = "comet"\nname = "c1"\nrpc = "h:1"'
    )

    registry = load(tmp_path, toml).registry

    assert registry.ring is RingKind.MURMUR
    assert registry.nodes == (StaticNode(role=Role.COMET, name="c1", rpc="h:1"),)
    assert registry.nodes[0].node().rpc == "h:1"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[shop.door]\nprot = 1", r"shop\.door\.prot \(set by .*\): unknown key, did you mean 'port'\? Known here: host, origins, port"),
        ("[shop]\nzzz = 1", r"shop\.zzz .*: unknown key\. Known here: door, keys, mode, name"),
        ("[shoop]\na = 1", r"shoop .*: unknown key, did you mean 'shop'\? Known here: auth, database, lightpush, log, mpush, node"),
        ("[shop.door]\nport = 70000", r"shop\.door\.port = 70000: expected an integer from 0 to 65535 \(set by .*settings\.toml\)"),
        ('[shop.door]\nport = "7"', r"shop\.door\.port = '7': expected an integer from 0 to 65535"),
        ("[shop.door]\nport = true", r"shop\.door\.port = True: expected an integer"),
        ("[shop.door]\norigins = [1]", r"shop\.door\.origins = \[1\]: expected a list, each a text"),
        ("[shop]\ndoor = 5", r"shop\.door = 5: expected a table with host, port, origins"),
        ("node = 5", r"node = 5: expected a table with name, home"),
        ('[shop]\nmode = "ajar"', r"shop\.mode = 'ajar': expected one of \"closed\", \"open\""),
        ('[shop]\nwait = "5 parsecs"', r"shop\.wait = '5 parsecs': expected a duration such as"),
        ("[shop]\nroom = -1", r"shop\.room = -1: expected a size such as"),
        ('[shop]\nsign = "A"', r"shop\.sign = 'A': expected a text that matches \^\[a-z\]\*\$"),
        ("[shop]\ntill = 1", r"shop\.till = 1: expected a path"),
        ("[shop.shelves.top]\nwidth = 0", r"shop\.shelves\.top\.width = 0: expected an integer >= 1"),
        ("[shop.shelves.top]", r"shop\.shelves\.top\.width: missing, expected an integer >= 1"),
        ("[shop]\nshelves = [1]", r"shop\.shelves = \[1\]: expected a table, each value a table with"),
        ('[shop]\nname = "a"\nsign = "a"', r"\[shop\]: name and sign must differ"),
        ('[[registry.nodes]]\nrole = "comet"\nname = "a"\n[[registry.nodes]]\nrole = "x"\nname = "b"', r"registry\.nodes\[1\]\.role = 'x': expected one of \"comet\""),
        ("shop", r"settings\.toml: not TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_what_is_allowed(
    tmp_path: Path, toml: str, message: str
) -> None:
    """A mistyped key never means a silent default: the error has path, value, origin, and what fits."""
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, toml)


def test_the_layer_that_set_a_wrong_value_is_named(tmp_path: Path) -> None:
    """With three places to look in, the error says which one."""
    with pytest.raises(ConfigError, match=r"'x': .* \(set by APPMSG_SHOP__DOOR__PORT\)"):
        load(tmp_path, "[shop.door]\nport = 1", APPMSG_SHOP__DOOR__PORT="x")
    with pytest.raises(ConfigError, match=r"unknown key.*") as refused:
        load(tmp_path, "", "shop.dor.port=1")
    assert "(set by --set)" in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A path with a slip in it must not mean the defaults."""
    missing = tmp_path / "missing.toml"
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "caf\xe9"')

    with pytest.raises(ConfigError, match=re.escape(f"{missing}: No such file")):
        load_settings({}, files=[missing], environ={})
    with pytest.raises(ConfigError, match=re.escape(f"{latin}: not TOML: 'utf-8'")):
        load_settings({}, files=[latin], environ={})


def test_a_flag_needs_an_equals_sign(tmp_path: Path) -> None:
    """`--set comet.tcp.port 7000` is a slip, not a setting."""
    with pytest.raises(ConfigError, match=r"--set shop\.name: expected section\.key=value"):
        load(tmp_path, "", "shop.name")


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    """Kubernetes invents APPMSG_PORT for a service named appmsg; a setting has two underscores."""
    assert load(tmp_path, APPMSG_PORT="tcp://10.0.0.1:80", OTHER__NAME="x").origins == {}


@pytest.mark.parametrize(
    "flag",
    [
        "auth.secret=tiny-secret",
        "auth.secert=tiny-secret",
        "auth=tiny-secret",
        "shop.keys=tiny-secret",
        "auth.secret={a='tiny-secret'}",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, flag: str) -> None:
    """Errors land in logs and terminals; a secret that is too short, or under a mistyped key, must not."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, "", flag)

    assert "tiny" not in str(refused.value)
    assert "tiny" not in repr(refused.value)


def test_a_text_is_one_value(tmp_path: Path) -> None:
    """What looks like more TOML behind a value is no value."""
    with pytest.raises(ConfigError, match="expected an integer"):
        load(tmp_path, "", "shop.door.port=1\nhost=2")
    with pytest.raises(ConfigError, match="expected an integer"):
        load(tmp_path, "", "shop.door.port=" + "[" * 5000)
    with pytest.raises(ConfigError, match="expected an integer"):
        load(tmp_path, "", "shop.door.port=" + "9" * 5000)


def test_a_secret_does_not_show_itself(tmp_path: Path) -> None:
    """Printing the settings for a bug report must be safe."""
    settings = load(tmp_path, "", f"auth.secret={SECRET}")

    assert settings.auth.secret == SECRET
    assert SECRET not in repr(settings)


def test_sections_can_be_given_as_objects() -> None:
    """Tests and embedding start a part without files."""
    settings = Settings.of(shop=ShopConfig(name="x"), auth=AuthConfig(mode="on"))

    assert settings.section(ShopConfig).name == "x"
    assert settings.auth.mode == "on"
    assert settings.node == NodeConfig()
    assert settings.replacing(node=NodeConfig(name="n2")).node.name == "n2"
    with pytest.raises(KeyError, match="DoorConfig"):
        settings.section(DoorConfig)


@given(st.lists(st.text(alphabet="shopdrnametil.=[]{}'\"_ 0123", max_size=30), max_size=3))
def test_any_flags_are_settings_or_a_config_error(flags: list[str]) -> None:
    """Bad input gets a clear error: nothing else may come out of the loader."""
    with suppress(ConfigError):
        load_settings({"shop": ShopConfig}, files=[], environ={}, overrides=flags)


@given(st.sampled_from(["", "__", "__NAME", "__DOOR", "__DOOR__PORT", "__X"]), st.text())
def test_any_environment_is_settings_or_a_config_error(name: str, text: str) -> None:
    """The same for the environment, whatever a shell lets through."""
    with suppress(ConfigError):
        load_settings({"shop": ShopConfig}, files=[], environ={f"APPMSG_SHOP{name}": text})
