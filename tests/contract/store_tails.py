"""What every offline store keeps to when a push has a tail for each key.

body {"n":1}   tail "t":2 of a@user   copy {"n":1,"toUserKey":"a@user","t":2}
"""

import pytest

from appmodel.core.interfaces import OfflineStore
from appmodel.core.message import Saved
from appmodel.core.names import Key
from tests.contract.saves import NOW, A, B, C, StoreSuite, Time, push

ODD_TAILS = [
    b'"a":"b c",  "d":{"e":[1, 2]}',
    b'"1 2 3":4 ',
    b'"a":1,\n"b":"\\n%s %1"',
    b'"a":"\\u0000\x7f"',
    '"имя":"名前 \u2028 😀"'.encode(),
    b'"a":"' + b"x" * 70_000 + b'"',
]


class TailsContract(StoreSuite):
    """Its part of the suite."""

    async def test_each_key_gets_its_own_copy(self, store: OfflineStore) -> None:
        """The body with the members of the key's tail; in what is saved beside it nothing is added."""
        tails = [b'"to":"A"', b'"to":"B"', b'"to":"C"']
        await store.save(
            [
                push(1, [A, B, C], body=b'{"from":"d"}', tails=tails),
                push(2, [A, B], body=b'{"from":"e"}'),
                push(3, [A], body=b'{"from":"f"}', tails=[b'"to":"A"']),
            ]
        )

        assert await bodies(store, A) == [
            b'{"from":"d","toUserKey":"a@user","to":"A"}',
            b'{"from":"e"}',
            b'{"from":"f","toUserKey":"a@user","to":"A"}',
        ]
        assert await bodies(store, B) == [
            b'{"from":"d","toUserKey":"b@user","to":"B"}',
            b'{"from":"e"}',
        ]
        assert await bodies(store, C) == [b'{"from":"d","toUserKey":"a@user","to":"C"}']

    async def test_a_tail_may_be_any_members(self, store: OfflineStore) -> None:
        """White space, numbers, NUL and other alphabets come back byte by byte."""
        keys = [Key("", f"u{number}", "user") for number in range(len(ODD_TAILS))]
        await store.save([push(1, keys, body=b'{"n":1}', tails=ODD_TAILS)])

        found = [await bodies(store, key) for key in keys]

        assert found == [
            [b'{"n":1,"toUserKey":"%b",%b}' % (str(key).encode(), tail)]
            for key, tail in zip(keys, ODD_TAILS, strict=True)
        ]

    async def test_a_retry_changes_no_copy(self, store: OfflineStore) -> None:
        """It answers as the first time, whatever it brings; only further keys get what is new."""
        first = await store.save([push(1, [A, B], body=b'{"n":1}', tails=[b'"t":1', b'"t":2'])])

        again = await store.save([push(1, [A, B], body=b'{"n":1}', tails=[b'"t":1', b'"t":2'])])
        tails = [b'"t":7', b'"t":8', b'"t":9']
        [third] = await store.save([push(1, [B, C, A], at=NOW + 5, body=b'{"n":2}', tails=tails)])

        assert again == first
        assert third == Saved((NOW, NOW + 5, NOW), (0, 0, 0))
        assert await bodies(store, A) == [b'{"n":1,"toUserKey":"a@user","t":1}']
        assert await bodies(store, B) == [b'{"n":1,"toUserKey":"b@user","t":2}']
        assert await bodies(store, C) == [b'{"n":2,"toUserKey":"a@user","t":8}']

    @pytest.mark.parametrize("calls", [1, 2])
    async def test_one_push_id_may_have_twobodies(self, store: OfflineStore, calls: int) -> None:
        """What members get and what the sender gets are one message: one id, and a body each."""
        saves = [
            push(1, [B, C], body=b'{"n":1}', tails=[b'"t":1', b'"t":2']),
            push(1, [A], body=b'{"sent":1}', tails=[b'"t":3']),
        ]

        async def save() -> list[Saved]:
            if calls == 1:
                return await store.save(saves)
            return [saved for save in saves for saved in await store.save([save])]

        first, again = await save(), await save()

        assert first == again == [Saved((NOW, NOW), (0, 0)), Saved((NOW,), (0,))]
        assert await bodies(store, A) == [b'{"sent":1,"toUserKey":"a@user","t":3}']
        assert await bodies(store, B) == [b'{"n":1,"toUserKey":"b@user","t":1}']
        assert await bodies(store, C) == [b'{"n":1,"toUserKey":"a@user","t":2}']

    async def test_a_page_counts_whole_copies(self, time: Time) -> None:
        """A body of a few bytes with a large tail takes as much of a page as it will be sent in."""
        async with self.open_store(time, page_limit=1000) as store:
            tails = [b'"t":"%b"' % (b"1" * size) for size in (300, 400, 200, 5000, 10)]
            await store.save(
                [
                    push(number, [A, B], at=NOW + number, body=b'{"n":1}', tails=[tail, b'"t":1'])
                    for number, tail in enumerate(tails)
                ]
            )

            pages = [await store.fetch(A, NOW + after, limit=10) for after in (-1, 1, 2, 3)]
            short = await store.fetch(B, 0, limit=10)

        assert [[m.id - NOW for m in page.messages] for page in pages] == [[0, 1], [2], [3], [4]]
        assert [page.more for page in pages] == [True, True, True, False]
        assert len(short.messages) == 5


async def bodies(store: OfflineStore, key: Key) -> list[bytes]:
    """What the key has, oldest first."""
    return [message.body for message in (await store.fetch(key, 0, limit=10)).messages]
