"""Push ids."""

from web.services.push_ids import BLOCK, PushIds


def test_no_push_id_comes_twice() -> None:
    """Also not where one block of the system's bits ends and the next begins."""
    ids = PushIds()

    given = [ids.fresh() for _ in range(3 * BLOCK // 16 + 1)]

    assert {len(push_id) for push_id in given} == {16}
    assert len(set(given)) == len(given)
