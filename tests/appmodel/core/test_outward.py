"""Where a node may call when others chose the address."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.outward import MAX_URL, Outward, is_public, parse_url
from appmodel.errors import BadInput

NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",  # the metadata of cloud machines
    "172.16.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_of_the_internet_are_not_public(text: str) -> None:
    """In none of the notations that lead to the same place."""
    address = ipaddress.ip_address(text)

    assert not is_public(address)
    with pytest.raises(BadInput, match="a public address"):
        Outward().admit("push.example", 443, [address])


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_never_public(address: ipaddress.IPv4Address) -> None:
    """A tunnel to 127.0.0.1 is 127.0.0.1."""
    n = int(address)

    wrapped = [
        n,
        0xFFFF << 32 | n,
        0x64FF9B << 96 | n,
        0x2002 << 112 | n << 80,
        0x20010000 << 96 | n,
    ]

    assert not any(is_public(ipaddress.IPv6Address(number)) for number in wrapped)


@pytest.mark.parametrize("text", ["8.8.8.8", "17.57.144.1", "2606:4700::1", "2a00:1450:4001::1"])
def test_addresses_of_the_internet_are_public(text: str) -> None:
    """Where the providers live."""
    address = ipaddress.ip_address(text)

    Outward().admit("push.example", 443, [address])

    assert is_public(address)


def test_one_bad_address_spoils_the_name() -> None:
    """A name that points to a public address and to us is a trap."""
    addresses = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("127.0.0.1")]

    with pytest.raises(BadInput, match=r"127\.0\.0\.1"):
        Outward().admit("push.example", 443, addresses)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "push.example",
        "//push.example/",
        "ftp://push.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@push.example/",
        "https://user:password@push.example/",
        "https://push.example:0/",
        "https://push.example:70000/",
        "https://push.example:x/",
        "https://push.example/#fragment",
        "https://push.example/a b",
        "https://push.example/\r\nHost: x",
        "https://push.exämple/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://a..b/",
        "https://push.example/" + "a" * MAX_URL,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    """What two parsers could read in two ways is read by none."""
    with pytest.raises(BadInput, match=r"^endpoint: "):
        parse_url(url, "endpoint")


def test_a_refusal_never_shows_the_path() -> None:
    """It is the secret of a subscription."""
    for url in [
        "https://push.example/SECRET#x",
        "http://push.example/SECRET",
        "https://u@h/SECRET",
    ]:
        with pytest.raises(BadInput) as refusal:
            Outward().check(parse_url(url))
        assert "SECRET" not in str(refusal.value)


def test_the_parts_of_a_url() -> None:
    """The host in lower case, the port in any case."""
    found = parse_url("https://Push.Example/a/b?c=d&e")

    assert (found.host, found.port, found.target) == ("push.example", 443, "/a/b?c=d&e")
    assert found.origin == "https://push.example:443"
    assert parse_url("https://[2606:4700::1]:8443").origin == "https://[2606:4700::1]:8443"


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("10.0.0.0/8", "https://10.1.2.3/"),
        ("10.1.2.3", "https://10.1.2.3:8443/"),
        ("::1", "https://[::1]/"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/bucket"),
        ("http://127.0.0.1:9000", "https://127.0.0.1:9000/bucket"),
        ("http://10.0.0.0/8", "http://10.1.2.3:8080/back"),
        ("http://10.0.0.0/8", "https://10.1.2.3/back"),
    ],
)
def test_what_the_operator_allows_may_be_called(allowed: str, url: str) -> None:
    """And only that: without the entry the same URL is refused."""
    Outward([allowed]).check(parse_url(url))

    with pytest.raises(BadInput):
        Outward().check(parse_url(url))


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("10.0.0.0/8", "http://10.1.2.3/"),  # no TLS
        ("http://127.0.0.1:9000", "http://127.0.0.1:9001/"),  # another port
        ("127.0.0.1:9000", "https://127.0.0.1:9001/"),
        ("minio.internal", "http://minio.internal/"),
        ("10.0.0.0/8", "https://192.168.1.1/"),
        ("http://10.0.0.0/8", "http://192.168.1.1/"),
        ("http://10.0.0.0/8", "http://ten.example/"),  # a name may point elsewhere later
    ],
)
def test_an_entry_allows_nothing_beside_it(allowed: str, url: str) -> None:
    """An allowed object store is no way to its neighbours."""
    with pytest.raises(BadInput):
        Outward([allowed]).check(parse_url(url))


def test_an_allowed_name_may_point_anywhere() -> None:
    """It is the operator's own; on one port if the entry says so."""
    inside = [ipaddress.ip_address("10.1.2.3")]

    Outward(["minio.internal"]).admit("minio.internal", 9000, inside)
    Outward(["minio.internal:9000"]).admit("minio.internal", 9000, inside)

    with pytest.raises(BadInput):
        Outward(["minio.internal:9000"]).admit("minio.internal", 9001, inside)


@pytest.mark.parametrize(
    "entry",
    ["", "https://h", "http://h/path", "h/path", "a b", "10.0.0.0/33", "h:x", "http://10.0.0.0/33"],
)
def test_an_entry_of_another_form_is_an_error_at_the_start(entry: str) -> None:
    """Not an entry that silently allows nothing."""
    with pytest.raises(ValueError, match="expected"):
        Outward([entry])
