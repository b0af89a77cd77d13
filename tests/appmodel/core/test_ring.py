"""The originals' test vectors: spec/gopush.md section 5."""

from collections import Counter

import pytest

from appmodel.core.ring import MurmurRing, ShaRing, murmur_word, sha_word


def nodes(count: int) -> list[str]:
    return [f"node{i}" for i in range(1, count + 1)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("node1:1", 1056862739),
        ("node1:255", 2277816072),
        ("Terry-Mao", 3177378645),
        ("t1", 3090259311),
        ("t2", 4225099533),
        ("t3", 582728756),
        ("0", 2498248972),
        ("42", 127381078),
        ("user@user", 2371234599),
        ("中文", 2811137971),
    ],
)
def test_ring_a_hashes(text: str, word: int) -> None:
    """The last four bytes of SHA-1."""
    assert sha_word(text.encode()) == word


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("Terry-Mao", "node1"),
        ("t1", "node5"),
        ("t2", "node4"),
        ("t3", "node4"),
        ("0", "node1"),
        ("42", "node2"),
        ("user@user", "node3"),
        ("中文", "node3"),
    ],
)
def test_ring_a_of_five_equal_nodes(key: str, node: str) -> None:
    """Five nodes of weight 1."""
    assert ShaRing(dict.fromkeys(nodes(5), 1)).owner(key) == node


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("Terry-Mao", "node1"),
        ("t1", "node3"),
        ("t2", "node3"),
        ("t3", "node2"),
        ("0", "node1"),
        ("1", "node2"),
        ("42", "node3"),
    ],
)
def test_ring_a_with_weights(key: str, node: str) -> None:
    """Weights 1, 2 and 3."""
    assert ShaRing({"node1": 1, "node2": 2, "node3": 3}).owner(key) == node


def test_ring_a_shares() -> None:
    """The shares of 10,000 keys under weights 1, 2 and 3."""
    ring = ShaRing({"node1": 1, "node2": 2, "node3": 3})

    shares = Counter(ring.owner(str(i)) for i in range(10_000))

    assert shares == {"node1": 1705, "node2": 3350, "node3": 4945}


@pytest.mark.parametrize(
    ("names", "key", "node"),
    [
        (nodes(15), "Terry-Mao332", "node15"),
        (nodes(15), "Terry-Mao2", "node13"),
        (nodes(15), "Terry-Mao3", "node5"),
        (nodes(15), "Terry-Mao4", "node2"),
        (nodes(15), "Terry-Mao5", "node6"),
        (["11", "22"], "Terry-Mao332", "22"),
        (["11", "22"], "Terry-Mao333", "22"),
        (["11", "22"], "Terry-Mao334", "22"),
        (["11", "22"], "Terry-Mao335", "11"),
        (nodes(3), "Terry-Mao", "node2"),
        (nodes(3), "t1", "node3"),
        (nodes(3), "t2", "node1"),
        (nodes(3), "t3", "node1"),
    ],
)
def test_ring_b(names: list[str], key: str, node: str) -> None:
    """The fork's ring."""
    assert MurmurRing(names).owner(key) == node


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("test", 1862463280),
        ("Terry-Mao", 3791076460),
        ("t1", 210085061),
        ("t2", 1011423144),
        ("t3", 335018246),
    ],
)
def test_ring_b_hashes(text: str, word: int) -> None:
    """The first word of MurmurHash3 x86 128-bit, seed 0."""
    assert murmur_word(text.encode()) == word


def test_buckets_of_the_original() -> None:
    """The murmur word AND 15: the vectors for 16 buckets."""
    assert [murmur_word(key) & 15 for key in (b"Terry-Mao", b"t1", b"t2")] == [12, 5, 8]


def test_an_empty_ring_owns_nothing() -> None:
    """C10: the original crashes; a ring without nodes, or without weight, has no owner."""
    assert ShaRing({}).owner("k") is None
    assert ShaRing({"node1": 0}).owner("k") is None
    assert MurmurRing([]).owner("k") is None
