"""The two consistent-hash rings of the originals.

    Ring A  SHA-1 ketama, weights      gopush-cluster comet ring; storage shards of both systems
    Ring B  MurmurHash3 ketama         appmsgsrv (the fork) comet ring

A node has a number of points on a circle of 32-bit hashes; a key belongs to the first point at or
after its own hash. Both must give the original's answers wherever clusters or shards are shared.

Source: gopush-cluster ketama/ketama.go and hash/murmur3; vectors in spec/gopush.md section 5.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from hashlib import sha1
from typing import Protocol

POINTS_PER_WEIGHT = 255  # ketama.Base of the original


class Ring(Protocol):
    """Maps a text to the name of the node that owns it."""

    def owner(self, text: str) -> str | None:
        """The owner's name, or None on an empty ring (where the original crashes)."""


class ShaRing:
    """Ring A: 255 points per weight, labels `name:1` .. `name:255*weight`."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        points: dict[int, str] = {}
        # Equal points: the order is ours, the original's is unspecified.
        for name in sorted(weights):
            for i in range(1, POINTS_PER_WEIGHT * weights[name] + 1):
                points[sha_word(f"{name}:{i}".encode())] = name
        self._hashes = sorted(points)
        self._names = [points[h] for h in self._hashes]
        self._only = self._names[0] if len(set(self._names)) == 1 else None

    def owner(self, text: str) -> str | None:
        """The owner's name; None if no node has a weight."""
        if self._only is not None or not self._names:
            return self._only
        at = bisect_left(self._hashes, sha_word(text.encode()))
        return self._names[at % len(self._names)]


class MurmurRing:
    """Ring B: 255 points per node, labels `name#0` .. `name#254`, no weights."""

    def __init__(self, names: Iterable[str]) -> None:
        points: dict[int, str] = {}
        for name in names:  # the later label takes an equal point, as in the original
            for i in range(POINTS_PER_WEIGHT):
                points[murmur_word(f"{name}#{i}".encode())] = name
        self._hashes = sorted(points)
        self._names = [points[h] for h in self._hashes]

    def owner(self, text: str) -> str | None:
        """The owner's name; None on an empty ring."""
        if not self._names:
            return None
        at = bisect_left(self._hashes, murmur_word(text.encode()))
        return self._names[at % len(self._names)]


def sha_word(data: bytes) -> int:
    """The last four bytes of SHA-1, big-endian."""
    return int.from_bytes(sha1(data, usedforsecurity=False).digest()[16:], "big")


_MASK = 0xFFFFFFFF
_C1, _C2, _C3, _C4 = 0x239B961B, 0xAB0E9789, 0x38B34AE5, 0xA1E38B93


def murmur_word(data: bytes) -> int:
    """The first 32-bit word of MurmurHash3 x86 128-bit with seed 0 (public domain algorithm)."""
    h1 = h2 = h3 = h4 = 0
    whole = len(data) & ~15
    for at in range(0, whole, 16):
        k1, k2, k3, k4 = (
            int.from_bytes(data[at + i : at + i + 4], "little") for i in (0, 4, 8, 12)
        )
        h1 = ((_rotl(h1 ^ _mix(k1, _C1, 15, _C2), 19) + h2) * 5 + 0x561CCD1B) & _MASK
        h2 = ((_rotl(h2 ^ _mix(k2, _C2, 16, _C3), 17) + h3) * 5 + 0x0BCAA747) & _MASK
        h3 = ((_rotl(h3 ^ _mix(k3, _C3, 17, _C4), 15) + h4) * 5 + 0x96CD1C35) & _MASK
        h4 = ((_rotl(h4 ^ _mix(k4, _C4, 18, _C1), 13) + h1) * 5 + 0x32AC3B17) & _MASK
    tail = data[whole:].ljust(16, b"\0")
    k1, k2, k3, k4 = (int.from_bytes(tail[i : i + 4], "little") for i in (0, 4, 8, 12))
    h1 ^= _mix(k1, _C1, 15, _C2)
    h2 ^= _mix(k2, _C2, 16, _C3)
    h3 ^= _mix(k3, _C3, 17, _C4)
    h4 ^= _mix(k4, _C4, 18, _C1)
    h1, h2, h3, h4 = (h ^ len(data) for h in (h1, h2, h3, h4))
    h1 = (h1 + h2 + h3 + h4) & _MASK
    h2, h3, h4 = ((h + h1) & _MASK for h in (h2, h3, h4))
    return (_avalanche(h1) + _avalanche(h2) + _avalanche(h3) + _avalanche(h4)) & _MASK


def _mix(k: int, first: int, turn: int, second: int) -> int:
    return (_rotl((k * first) & _MASK, turn) * second) & _MASK


def _rotl(x: int, r: int) -> int:
    return ((x << r) | (x >> (32 - r))) & _MASK


def _avalanche(h: int) -> int:
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)
