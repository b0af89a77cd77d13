"""Which web pages may talk to a listener through somebody's browser.

    Origin of the request            is
    absent                           not a page of another site (but see below)
    same host name as ours           allowed: http://h:8094 may ask http://h:8090
    loopback                         allowed: a page of this machine
    one of the configured            allowed
    anything else, "null"            refused

A node that asks for no credential is also protected against a name that an attacker makes point to
127.0.0.1 (DNS rebinding): it answers only when it is called by a loopback name or a configured one.
And pages of other sites may not include its answers as scripts, nor lead a browser to where a GET changes
something: a browser says so in Sec-Fetch-Site.

Source: ours; S1 of the original: any page could make a browser inside the network push.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from appmodel.errors import Forbidden
from appmodel.protocol.http import Headers


class Origins:
    """The rule of one listener."""

    def __init__(
        self, origins: Iterable[str] = (), hosts: Iterable[str] = (), *, home: bool = False
    ) -> None:
        """
        Args:
            origins: allowed beside the own host and loopback, such as "https://shop.example"; "*" = any.
            hosts: names by which a node at home may be called, beside loopback ones.
            home: nobody is asked for a credential.
        """
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._home = home

    def check(self, headers: Headers, *, by_link: bool = True) -> None:
        """Pass what no page of another site can have made.

        Args:
            by_link: who follows a link of another site may do this, too: nothing is changed by it.

        Raises:
            Forbidden: naming the header and what it said.
        """
        if self._home:
            self._check_host(headers.get("host"))
        origin = headers.get("origin")
        if origin is not None:
            if not self.allows(origin, headers.get("host", "")):
                raise Forbidden(f"Origin: {origin[:80]!r} is not allowed to call this listener")
        elif self._home and _is_foreign(headers, by_link=by_link):
            raise Forbidden("Sec-Fetch-Site: a page of another site may not call a home node")

    def allows(self, origin: str, host: str) -> bool:
        """Whether pages of `origin` may call; `host` is the Host header of the request."""
        if "*" in self._origins or origin.lower() in self._origins:
            return True
        name = _origin_name(origin)
        return name is not None and (is_loopback_name(name) or name == host_name(host))

    def cors(self, headers: Headers) -> list[tuple[str, str]]:
        """What lets the page of an allowed origin read the answer; nothing without an Origin."""
        origin = headers.get("origin")
        if origin is None:
            return []
        try:
            self.check(headers)
        except Forbidden:
            return []
        return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]

    def cors_preflight(self, headers: Headers) -> list[tuple[str, str]]:
        """The same before a request with a credential or a JSON body."""
        allowed = self.cors(headers)
        if not allowed:
            return []
        return [
            *allowed,
            ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE"),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
            ("Access-Control-Max-Age", "600"),
        ]

    def _check_host(self, host: str | None) -> None:
        if host is None:  # HTTP/1.0; every browser sends one
            return
        name = host_name(host)
        if not is_loopback_name(name) and name not in self._hosts:
            raise Forbidden(
                f"Host: {host[:80]!r} is not a loopback name; a node without authentication"
                " answers to those and to the hosts in its configuration"
            )


def _is_foreign(headers: Headers, *, by_link: bool) -> bool:
    """Whether a page of another site includes us, as a script or a picture; or leads here, unless it may."""
    site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
    return site == "cross-site" and not (by_link and mode == "navigate")


@lru_cache(maxsize=256)
def host_name(host: str) -> str:
    """The name in a Host header, without the port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


@lru_cache(maxsize=256)
def is_loopback_name(name: str) -> bool:
    """Whether a name can only mean this machine, whoever resolves it."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _origin_name(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        name = parts.hostname
    except ValueError:
        return None
    return name if parts.scheme in {"http", "https"} else None
