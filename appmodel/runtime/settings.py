"""Settings: found in three layers, checked value by value.

    conf/appmsg.toml, or each --config FILE     [comet.tcp]
                                                port = 6969
    < environment                               APPMSG_COMET__TCP__PORT=7000
    < flags                                     --set comet.tcp.port=7000

A later layer wins key by key; a list is replaced as a whole. Values of the environment and of flags
are texts, and become what their key needs: `7000` a number for a port, `["a","b"]` a list.

An unknown key or a wrong value is a ConfigError with its path, where it was set and what is
allowed, so that a mistyped key never means a silent default. No error shows a secret.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from appmodel.errors import ConfigError
from appmodel.runtime.config import (
    AuthConfig,
    DatabaseConfig,
    LightPushConfig,
    LogConfig,
    MpushConfig,
    NodeConfig,
    RegistryConfig,
    RpcConfig,
    TokensConfig,
)
from appmodel.runtime.schema import Decoder, KeyPath, Raw, dotted

DEFAULT_FILE = Path("conf/appmsg.toml")
PREFIX = "APPMSG_"
SHARED: Mapping[str, type[msgspec.Struct]] = {
    "node": NodeConfig,
    "log": LogConfig,
    "auth": AuthConfig,
    "registry": RegistryConfig,
    "rpc": RpcConfig,
    "database": DatabaseConfig,
    "tokens": TokensConfig,
    "lightpush": LightPushConfig,
    "mpush": MpushConfig,
}

SectionT = TypeVar("SectionT", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Settings:
    """The checked sections by their root name, and where each key that was set came from."""

    sections: Mapping[str, msgspec.Struct]
    origins: Mapping[str, str] = field(default_factory=dict)  # {"comet.tcp.port": "--set"}

    @classmethod
    def of(cls, **sections: msgspec.Struct) -> Self:
        """These sections, and the defaults of the shared ones that are not named."""
        return cls({name: kind() for name, kind in SHARED.items()} | sections)

    def section(self, kind: type[SectionT]) -> SectionT:
        """The section of this type. KeyError if no part of this process has one."""
        for section in self.sections.values():
            if isinstance(section, kind):
                return section
        raise KeyError(kind.__name__)

    def replacing(self, **sections: msgspec.Struct) -> Self:
        """The same with these sections in place of those of their names."""
        return type(self)({**self.sections, **sections}, self.origins)

    @property
    def node(self) -> NodeConfig:
        """[node]"""
        return self.section(NodeConfig)

    @property
    def log(self) -> LogConfig:
        """[log]"""
        return self.section(LogConfig)

    @property
    def auth(self) -> AuthConfig:
        """[auth]"""
        return self.section(AuthConfig)

    @property
    def registry(self) -> RegistryConfig:
        """[registry]"""
        return self.section(RegistryConfig)

    @property
    def rpc(self) -> RpcConfig:
        """[rpc]"""
        return self.section(RpcConfig)

    @property
    def database(self) -> DatabaseConfig:
        """[database]"""
        return self.section(DatabaseConfig)

    @property
    def tokens(self) -> TokensConfig:
        """[tokens]"""
        return self.section(TokensConfig)

    @property
    def lightpush(self) -> LightPushConfig:
        """[lightpush]"""
        return self.section(LightPushConfig)

    @property
    def mpush(self) -> MpushConfig:
        """[mpush]"""
        return self.section(MpushConfig)


def load_settings(
    parts: Mapping[str, type[msgspec.Struct]],
    *,
    files: Iterable[Path] = (),
    environ: Mapping[str, str] = os.environ,
    overrides: Iterable[str] = (),
) -> Settings:
    """The settings of the shared sections and of `parts`, by root name.

    Args:
        files: read in this order; without any, conf/appmsg.toml if it exists.
        overrides: texts such as "comet.tcp.port=7000".

    Raises:
        ConfigError: a file cannot be read, a key is unknown or missing, or a value is wrong.
    """
    layers = _Layers()
    for path in list(files) or ([DEFAULT_FILE] if DEFAULT_FILE.exists() else []):
        layers.add_table(_read_toml(path), str(path))
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX) and "__" in name:
            layers.add_value(tuple(name.removeprefix(PREFIX).lower().split("__")), Raw(text), name)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError.with_message(f"--set {key}: expected section.key=value")
        layers.add_value(tuple(key.strip().split(".")), Raw(text), "--set")

    kinds = {**SHARED, **parts}
    decoder = Decoder(layers.origin_of)
    decoder.refuse_unknown(layers.values, kinds, ())
    sections = {
        name: decoder.table(kind, layers.values.get(name, {}), (name,))
        for name, kind in kinds.items()
    }
    return Settings(sections, {dotted(path): origin for path, origin in layers.origins.items()})


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError.with_message(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # bad TOML, or bytes that are not UTF-8
        raise ConfigError.with_message(f"{path}: not TOML: {error}") from None


class _Layers:
    """What was said so far: nested tables, and for each leaf who set it last."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[KeyPath, str] = {}

    def add_table(self, table: Mapping[str, Any], origin: str, at: KeyPath = ()) -> None:
        """Lay `table` over what is there, key by key."""
        for name, value in table.items():
            path = (*at, name)
            if isinstance(value, dict) and value:
                self.add_table(value, origin, path)
            else:
                self.add_value(path, value, origin)

    def add_value(self, path: KeyPath, value: object, origin: str) -> None:
        """Set one key. What was a value and gets keys below it becomes a table."""
        place = self.values
        for name in path[:-1]:
            if not isinstance(place.get(name), dict):
                place[name] = {}
            place = place[name]
        place[path[-1]] = value
        self.origins[path] = origin

    def origin_of(self, path: KeyPath) -> str:
        """Who set this key, or else the nearest one above or below it."""
        while path:
            for known, origin in self.origins.items():
                if known[: len(path)] == path:
                    return origin
            path = path[:-1]
        return ""
