"""Where a request comes from, for limits per address.

connection from    X-Forwarded-For                 it is
203.0.113.7        anything                        203.0.113.7           no proxy of ours: not believed
127.0.0.1          198.51.100.9, 203.0.113.7       203.0.113.7           the last one that is no proxy
127.0.0.1          none, or nonsense               127.0.0.1
2001:db8::1:2:3    -                               2001:db8::/64         who has one has all of them
"""

import ipaddress
from collections.abc import Iterable

from appmodel.errors import ConfigError
from appmodel.protocol.http import Request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NETWORK_V6 = 64  # bits that one customer of a provider has at least
MAX_HEADER = 1000  # characters; a chain of proxies is short


class Addresses:
    """Knows our proxies."""

    def __init__(self, proxies: Iterable[str], *, setting: str = "web.proxies") -> None:
        """Raises ConfigError for what is no network; `setting` is where they are configured."""
        self._proxies: list[Network] = [_network(text, setting) for text in proxies]

    def origin_of(self, request: Request) -> str:
        """The name under which the tries of a request are counted."""
        return self.origin(request.peer, request.headers.get("x-forwarded-for", ""))

    def origin(self, peer: str, forwarded: str) -> str:
        """The name under which tries are counted.

        Args:
            peer: the address at the other end of the connection.
            forwarded: the header X-Forwarded-For, empty if there is none.
        """
        found = _address(peer)
        if found is None:
            return peer
        for text in reversed(forwarded[-MAX_HEADER:].split(",") if forwarded else []):
            if not self._is_proxy(found):
                break
            said = _address(text.strip())
            if said is None:
                break
            found = said
        if isinstance(found, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((found, NETWORK_V6), strict=False))
        return str(found)

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _network(text: str, setting: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ConfigError(setting, text, "expected a network such as 10.0.0.0/8") from None
