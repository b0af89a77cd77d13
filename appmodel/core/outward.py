"""Where a node may call when others chose the address: public https, and what the operator allows.

    "https://push.example/a?b"     any public address
    "10.0.0.5", "10.0.0.0/8"       allowed: addresses that are not public, by https
    "minio.internal"               allowed: this name, whatever it points to, by https
    "minio.internal:9000"          allowed: the same on one port only
    "http://127.0.0.1:9000"        allowed: this name and port without TLS, too
    "http://10.0.0.0/8"            allowed: URLs with these addresses in them without TLS, too

A URL is judged twice: as it is written, and by the addresses that its name points to. The second is
done where the connection is opened (appmodel/io/outbound.py), so a name cannot change in between.

Source: OWASP, "Server-Side Request Forgery Prevention"; W13 of the original, which sent DELETE to any URL.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from appmodel.errors import BadInput

MAX_URL = 4096  # characters; Web Push endpoints have up to about 1,000

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # urlsplit would drop line ends in silence
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_PORTS = {"http": 80, "https": 443}

# Of IPv6 only global unicast can be public, and of that not what carries an IPv4 address or nothing:
# Teredo and other protocols, documentation, 6to4. So NAT64 and IPv4-mapped addresses are refused too.
_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Destination(msgspec.Struct, frozen=True):
    """A URL in its parts."""

    scheme: str  # http or https
    host: str  # in lower case, an IPv6 address without brackets
    port: int
    target: str  # path and query: often a secret, so it is in no error and no log

    @property
    def origin(self) -> str:
        """What may be shown of it: "https://push.example:443"."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_url(url: str, field: str = "url") -> Destination:
    """The parts of an absolute http or https URL.

    Raises:
        BadInput: naming `field`, and never more of the URL than its origin.
    """
    expected = "an absolute http or https URL in ASCII, without user name and fragment"
    if len(url) > MAX_URL or not _VISIBLE.fullmatch(url):
        raise BadInput(field, url[:12], f"{expected}, of at most {MAX_URL} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadInput(field, url[:12], expected) from None
    if parts.scheme not in _PORTS or "@" in parts.netloc or parts.fragment or port == 0:
        raise BadInput(field, f"{parts.scheme}://{host}", expected)
    if not _NAME.fullmatch(host):
        raise BadInput(field, f"{parts.scheme}://{host}", "a host name or an address in it")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(parts.scheme, host, port or _PORTS[parts.scheme], target)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet: not private, loopback, link-local, multicast."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    return address in _UNICAST and not any(address in network for network in _SPECIAL)


class Outward:
    """The rule of one caller."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """
        Args:
            allowed: as at the top of this module.

        Raises:
            ValueError: an entry has another form.
        """
        self._networks: list[Network] = []
        self._names: set[tuple[str, int | None]] = set()
        self._plain: set[tuple[str, int]] = set()
        self._plain_networks: list[Network] = []
        for entry in allowed:
            self._allow(entry)

    def check(self, destination: Destination, field: str = "url") -> None:
        """Whether a URL may be called as it is written; its name is not looked up.

        Raises:
            BadInput: naming `field` and the origin.
        """
        place = (destination.host, destination.port)
        try:
            literal = ipaddress.ip_address(destination.host)
        except ValueError:  # a name; `admit` will see where it points to
            literal = None
        if destination.scheme == "http" and place not in self._plain:
            plain = self._plain_networks if literal is not None else ()
            if not any(literal in network for network in plain):
                raise BadInput(field, destination.origin, "https")
        if literal is not None:
            self.admit(*place, [literal], field=field)

    def admit(
        self, host: str, port: int, addresses: Iterable[Address], *, field: str = "url"
    ) -> None:
        """Whether a connection to `host`, which points to all these addresses, may be opened.

        Raises:
            BadInput: one of them is neither public nor allowed.
        """
        if (host, port) in self._plain or not self._names.isdisjoint({(host, port), (host, None)}):
            return
        for address in addresses:
            if not is_public(address) and not any(address in each for each in self._networks):
                raise BadInput(field, host, f"a public address, or an allowed one, not {address}")

    def _allow(self, entry: str) -> None:
        text = entry.removeprefix("http://")
        is_plain = text != entry
        try:
            network = None if is_plain and "/" not in text else ipaddress.ip_network(text)
        except ValueError:
            network = None
        if network is not None:
            self._networks.append(network)
            self._plain_networks += [network] if is_plain else []
            return
        try:
            place = parse_url(entry if entry.startswith("http://") else f"https://{entry}", "entry")
            bare = place.target == "/" and not entry.endswith("/")
        except BadInput:
            bare = False
        if not bare:
            raise ValueError(
                'expected "host", "host:port", "http://host:port", a network or "http://" and a network, '
                f"got {entry!r}"
            )
        if place.scheme == "http":
            self._plain.add((place.host, place.port))
        else:
            port = place.port if re.search(r":\d+$", entry) else None
            self._names.add((place.host, port))
