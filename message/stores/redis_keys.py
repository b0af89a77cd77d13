"""Where things lie in Redis: the names of all our keys.

    {appmsg:0}:marks            hash         key -> its mark, for ever
    {appmsg:0}:highest          string       the highest of them
    {appmsg:0}:key:u1@user      sorted set   the messages of a key: score = id, member = "<expires_at> <push> <keys>[ <tail>]"
    {appmsg:0}:body:<push>      string       the body, once per bucket; expires with its messages
    {appmsg:0}:live:<push>      string       how many of its messages are left, if it had several
    {appmsg:0}:push:<push id>   string       receipts, in msgpack: [kept_until, key, id, prev, key, id, prev, ...]
    {appmsg:0}:feed             stream       <position of the last>-0: key = mark, ...; the newest `feed_limit`
    {appmsg:0}:answer:<name>    string       ledger: "<kept_until> <value>"
    {appmsg:0}:revoked          sorted set   ledger: position -> "<kept_until> <issued_before> <subject>"
    {appmsg:0}:revoked-until    sorted set   the same by kept_until
    {appmsg:0}:gathered         stream       the feed of all buckets, if there are several
    {appmsg:0}:gathered-from    hash         bucket -> the position up to which it has been gathered
    {appmsg:0}:layout           string       "<version> <buckets>", set by the first store

A key lives in bucket crc32(key) % buckets. The braces are a hash tag: a bucket lies in one slot, so
on one node of a Cluster, and one Lua script can change all of it at once. A single server needs one
bucket only. A message's expiry stands in its member, so a reader needs no clock of Redis; Redis itself
frees a body, a key, receipts and answers `GRACE` seconds later than they are visible: clocks differ.

Marks have no expiry: about 90 B a key. If one were lost, the key's next id would still be above all
before it, for ids follow the time; what would be lost is the proof, so we do not.
"""

import zlib

from message.config import RedisConfig

GRACE = 60.0  # seconds; message nodes whose clocks differ by more see expired messages go early
LAYOUT_VERSION = 1
CLUSTER_BUCKETS = 16  # a few for each of three to five nodes
MOST_LIFE = 10 * 365 * 86400.0  # seconds; what is to live longer is freed by Redis then


class Bucket:
    """The names in one bucket."""

    def __init__(self, prefix: str, number: int, buckets: int) -> None:
        self.number = number
        self.base = base = b"{%s:%d}:" % (prefix.encode(), number)
        self.layout, self.layout_value = base + b"layout", b"%d %d" % (LAYOUT_VERSION, buckets)
        self.probe = base + b"probe"  # written, when it matters whether writing works
        self.marks, self.highest, self.feed = base + b"marks", base + b"highest", base + b"feed"
        self.gathered, self.gathered_from = base + b"gathered", base + b"gathered-from"
        self.revoked, self.revoked_until = base + b"revoked", base + b"revoked-until"

    def key(self, name: bytes) -> bytes:
        """Of the messages of a key; `name` is its `Key.stored`."""
        return self.base + b"key:" + name

    def push(self, push_id: bytes) -> bytes:
        """Of the receipts of a push."""
        return self.base + b"push:" + push_id

    def answer(self, name: bytes) -> bytes:
        """Of what the ledger remembers under `name`."""
        return self.base + b"answer:" + name


def buckets_of(config: RedisConfig) -> list[Bucket]:
    """All buckets of a store."""
    count = config.buckets or (CLUSTER_BUCKETS if config.mode == "cluster" else 1)
    return [Bucket(config.prefix, number, count) for number in range(count)]


def number_of(name: bytes, buckets: int) -> int:
    """The bucket in which `name` lies, of so many."""
    return zlib.crc32(name) % buckets if buckets > 1 else 0


def lifetime(seconds: float) -> int:
    """How long Redis is to keep what is visible for so long: ms, never 0, whatever is asked for."""
    return int(min(max(0.0, seconds) + GRACE, MOST_LIFE) * 1000)
