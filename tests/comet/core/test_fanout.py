"""One encoding per dialect, one write per subscriber and round, nothing twice."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.names import parse_key
from comet.core.channel import BEHIND, Channel
from comet.core.fanout import Due, deliver
from comet.core.message import Message
from comet.protocol.gopush_tcp import TcpDialect
from comet.protocol.gopush_ws import WsDialect
from tests.comet.fakes import Taker


class CountingDialect(WsDialect):
    """Counts how often it had to encode."""

    encoded = 0

    def encode(self, message_id: int, body: bytes, *, stored: bool = True) -> bytes:
        self.encoded += 1
        return super().encode(message_id, body)


def channel_with(*takers: Taker) -> Channel:
    channel = Channel(parse_key("k"))
    for taker in takers:
        channel.join(taker)
    return channel


def offer(channel: Channel, due: list[Message]) -> int:
    return deliver(Due(due), channel.subscribers)


def messages(*numbers: int) -> list[Message]:
    return [Message(number, b'{"n":%d}' % number, stored=True) for number in numbers]


def test_a_round_is_one_write_of_all_its_messages() -> None:
    """What is due to one socket in one round goes out together (design law 6)."""
    ws = Taker(WsDialect(version="1", limit=9))
    tcp = Taker(TcpDialect(version=""))
    due = messages(1, 2)

    assert offer(channel_with(ws, tcp), due) == 2

    assert ws.writes == [b"".join(ws.dialect.encode(m.id, m.body) for m in due)]
    one = b'$35\r\n{"msg":"{\\"n\\":1}","mid":1,"gid":0}\r\n'
    two = b'$35\r\n{"msg":"{\\"n\\":2}","mid":2,"gid":0}\r\n'
    assert tcp.writes == [one + two]


def test_a_dialect_encodes_once_for_all_channels() -> None:
    """However many keys and subscribers share the message."""
    dialect = CountingDialect(version="1", limit=9)
    due = messages(1)

    for _ in range(3):
        offer(channel_with(Taker(dialect), Taker(dialect)), due)

    assert dialect.encoded == 1


def test_a_newcomer_gets_only_what_is_above_its_cursor() -> None:
    """It joined inside the round, or its replay reached so far."""
    newcomer = Taker(WsDialect(version="1", limit=9), cursor=1)
    up_to_date = Taker(WsDialect(version="1", limit=9), cursor=2)

    offer(channel_with(newcomer, up_to_date), messages(1, 2))

    assert newcomer.writes == [newcomer.dialect.encode(2, b'{"n":2}')]
    assert up_to_date.writes == []


def test_a_client_that_is_replayed_gets_nothing_in_between() -> None:
    """What comes meanwhile is held for it, in order."""
    behind = Taker(WsDialect(version="2", limit=9), cursor=BEHIND, held=[])

    offer(channel_with(behind), messages(1, 2))

    assert behind.writes == []
    assert behind.held is not None
    assert [m.id for m in behind.held] == [1, 2]


def test_a_slow_client_costs_nobody_else_anything() -> None:
    """Its refusal is reported, and the sweep goes on."""
    slow, quick = Taker(TcpDialect(version="1"), slow=True), Taker(TcpDialect(version="1"))

    taken = offer(channel_with(slow, quick), messages(1))

    assert taken == 1
    assert len(quick.writes) == 1


NAMES = st.sampled_from(["", "a", "b", "c"])


@given(
    spares=st.lists(NAMES, min_size=1, max_size=6),
    takers=st.lists(st.tuples(NAMES.filter(bool), st.integers(0, 6), st.booleans()), max_size=8),
)
def test_each_gets_what_does_not_spare_it_and_all_of_it_is_counted(
    spares: list[str], takers: list[tuple[str, int, bool]]
) -> None:
    """Above its cursor, in order, in one write; the tally of a message is how many took it."""
    dialect = WsDialect(version="1", limit=9)
    due = Due(
        [
            Message(n, b"{}", stored=False, without=spared, tally=100 + n)
            for n, spared in enumerate(spares, 1)
        ]
    )
    members = [Taker(dialect, cursor=cursor, slow=slow, name=name) for name, cursor, slow in takers]

    deliver(due, members)

    expected: Counter[int] = Counter({message.tally: 0 for message in due.messages})
    for member in members:
        meant = [m for m in due.messages if m.without != member.name]
        wanted = [m for m in meant if m.id > member.cursor]
        if member.slow:
            assert member.writes == []
        else:
            assert member.writes == ([b"".join(m.frame(dialect) for m in wanted)] if wanted else [])
        if not (member.slow and wanted):
            expected.update(m.tally for m in meant)
    assert Counter(dict(due.tallies())) == expected
