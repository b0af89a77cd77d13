"""What a batch would change: worked out without a database, for batches of any kind."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appmodel.core.departments import DepartmentRow
from appmodel.core.people import Person
from appmodel.errors import BadInput
from web.core.sync import MAX_ROWS, RowsRefused, SyncRequest, decode_batch
from web.core.sync_plan import Plan, Stock, make_plan

EMPTY = Stock("t1", {}, {}, {}, frozenset(), ())


def batch(**lists: Any) -> SyncRequest:
    """As a caller writes it."""
    return decode_batch(msgspec.json.encode(lists))


def plan_of(stock: Stock, passwords: frozenset[str] = frozenset(), **lists: Any) -> Plan:
    return make_plan(batch(**lists), stock, passwords)


def after(stock: Stock, plan: Plan) -> Stock:
    """What there is when a plan has been written."""
    people = dict(stock.people) | {p.uid: p for p in (*plan.new_people, *plan.changed_people)}
    rows = dict(stock.departments)
    rows |= {row.id: row for row in (*plan.new_departments, *plan.changed_departments)}
    links = dict(stock.links) | {(link[0], link[1]): link.sort for link in plan.links}
    people = {uid: each for uid, each in people.items() if uid not in plan.gone_people}
    rows = {id_: row for id_, row in rows.items() if id_ not in plan.gone_departments}
    links = {
        (one, uid): sort
        for (one, uid), sort in links.items()
        if (one, uid) not in plan.gone_links and one in rows and uid in people
    }
    return Stock("t1", people, rows, links, frozenset(), tuple(people.values()))


def errors(plan: Plan) -> list[tuple[str, int, str]]:
    return [(each.list, each.index, each.field) for each in plan.errors]


IDS = st.sampled_from("abcde")
NAMES = st.sampled_from(["x", "y", "z"])


def some(rows: st.SearchStrategy[Any], key: Any = lambda row: row["id"]) -> Any:
    return st.lists(rows, max_size=4, unique_by=key)


USERS = some(
    st.fixed_dictionaries(
        {"id": IDS},
        optional={"name": NAMES, "nickname": NAMES, "email": NAMES, "disabled": st.booleans()},
    )
)
DEPARTMENTS = some(
    st.fixed_dictionaries(
        {"id": IDS},
        optional={"name": NAMES, "parent_id": IDS | st.just(""), "sort": st.integers(0, 2)},
    )
)
LINKS = some(
    st.fixed_dictionaries(
        {"department_id": IDS, "user_id": IDS}, optional={"sort": st.integers(0, 2)}
    ),
    lambda row: (row["department_id"], row["user_id"]),
)
LINK_NAMES = some(
    st.fixed_dictionaries({"department_id": IDS, "user_id": IDS}),
    lambda row: (row["department_id"], row["user_id"]),
)
BATCHES = st.fixed_dictionaries(
    {"users": USERS, "departments": DEPARTMENTS, "links": LINKS},
    optional={
        "delete": st.fixed_dictionaries(
            {},
            optional={
                "users": some(IDS, lambda row: row),
                "departments": some(IDS, lambda row: row),
                "links": LINK_NAMES,
            },
        )
    },
)


@given(st.lists(BATCHES, max_size=5))
def test_whatever_is_taken_leaves_a_sound_company(batches: list[dict[str, Any]]) -> None:
    """Each department one step below its parent at a place of its own, links to what is there, names unique;
    and the same batch again changes nothing."""
    stock = EMPTY
    for lists in batches:
        try:
            wanted = batch(**lists)
        except BadInput:
            continue
        plan = make_plan(wanted, stock, frozenset())
        if plan.errors:
            continue
        stock = after(stock, plan)

        for row in stock.departments.values():
            above = stock.departments[row.parent_id].location if row.parent_id else ""
            assert row.location[:-2] == above
            assert len(row.location) == len(above) + 2
        places = [row.location for row in stock.departments.values()]
        assert len(set(places)) == len(places)
        for department_id, uid in stock.links:
            assert department_id in stock.departments
            assert uid in stock.people
        names = [person.login for person in stock.people.values()]
        assert len(set(names)) == len(names)
        again = make_plan(wanted, stock, frozenset())
        assert again == Plan(
            users_count=again.users_count,
            departments_count=again.departments_count,
            links_count=again.links_count,
        )
        counts = (again.users_count, again.departments_count, again.links_count)
        assert all((c.created, c.updated, c.deleted) == (0, 0, 0) for c in counts)


@given(BATCHES)
def test_every_row_is_counted_once(lists: dict[str, Any]) -> None:
    """Created, updated, unchanged or deleted."""
    try:
        wanted = batch(**lists)
    except BadInput:
        return
    plan = make_plan(wanted, EMPTY, frozenset())
    if plan.errors:
        return

    gone = wanted.delete
    for rows, deleted, counts in (
        (wanted.users, gone.users, plan.users_count),
        (wanted.departments, gone.departments, plan.departments_count),
        (wanted.links, gone.links, plan.links_count),
    ):
        total = counts.created + counts.updated + counts.unchanged + counts.deleted
        assert total == len(rows) + len(deleted)


ANN = Person("ann", "ann", "Ann", "", "", "", 0, "t1", "a@x", "", "", "member")
BOB = Person("bob", "bob", "Bob", "", "", "", 7, "t1", "", "", "", "member")
TREE = {
    row.id: row
    for row in (
        DepartmentRow("top", "Top", "", "", "00", "t1", 0),
        DepartmentRow("mid", "Mid", "", "top", "0000", "t1", 0),
        DepartmentRow("low", "Low", "", "mid", "000000", "t1", 0),
    )
}
STOCK = Stock("t1", {"ann": ANN, "bob": BOB}, TREE, {("low", "ann"): 4}, frozenset(), (ANN, BOB))


def test_what_is_left_out_stays() -> None:
    """A row says what it changes. A status of the original's that is not -1 is enabled, and stays."""
    plan = plan_of(
        STOCK,
        users=[{"id": "ann", "nickname": "Annie"}, {"id": "bob", "disabled": False}],
        departments=[{"id": "mid", "short_name": "M"}],
        links=[{"department_id": "low", "user_id": "ann"}],
    )

    assert plan.changed_people == [replace(ANN, nickname="Annie")]
    assert plan.changed_departments == [TREE["mid"]._replace(short_name="M")]
    assert plan.links == []
    assert (plan.users_count.unchanged, plan.links_count.unchanged) == (1, 1)


def test_a_parent_may_come_behind_its_children() -> None:
    """Rows are looked at as they will be in the end."""
    rows = [
        {"id": "c", "name": "C", "parent_id": "b"},
        {"id": "b", "name": "B", "parent_id": "a"},
        {"id": "a", "name": "A"},
    ]
    plan = plan_of(EMPTY, departments=rows)

    places = {row.id: row.location for row in plan.new_departments}
    assert places == {"a": "00", "b": "0000", "c": "000000"}


def test_a_move_takes_along_what_is_not_in_the_batch() -> None:
    """All that lies below."""
    plan = plan_of(STOCK, departments=[{"id": "mid", "parent_id": ""}])

    assert {r.id: r.location for r in plan.changed_departments} == {"mid": "01", "low": "0100"}
    assert plan.departments_count.updated == 1


def test_two_may_swap_places_and_names() -> None:
    """In one batch: the lower department becomes the upper one."""
    plan = plan_of(
        STOCK,
        departments=[{"id": "low", "parent_id": "top"}, {"id": "mid", "parent_id": "low"}],
        users=[{"id": "ann", "name": "bob"}, {"id": "bob", "name": "ann"}],
    )

    assert plan.errors == []
    assert {r.id: r.parent_id for r in plan.changed_departments} == {"low": "top", "mid": "low"}


def test_a_whole_branch_goes_in_one_batch() -> None:
    """But not a part that others hang on."""
    whole = plan_of(STOCK, delete={"departments": ["mid", "low", "nothing"]})
    part = plan_of(STOCK, delete={"departments": ["mid"]})
    saved = plan_of(
        STOCK, delete={"departments": ["mid"]}, departments=[{"id": "low", "parent_id": "top"}]
    )

    assert sorted(whole.gone_departments) == ["low", "mid"]
    assert (whole.departments_count.deleted, whole.departments_count.unchanged) == (2, 1)
    assert errors(part) == [("delete.departments", 0, "id")]
    assert saved.errors == []


def test_who_is_logged_out() -> None:
    """Who goes, is disabled, or has another password; nobody else."""
    plan = plan_of(
        STOCK,
        frozenset({"bob"}),
        users=[{"id": "bob", "password": "new"}, {"id": "ann", "disabled": True}],
    )
    gone = plan_of(
        STOCK, delete={"users": ["ann", "nobody"]}, users=[{"id": "bob", "nickname": "B"}]
    )

    assert sorted(plan.logged_out) == ["ann", "bob"]
    assert gone.logged_out == ["ann"]
    assert (plan.users_count.updated, gone.users_count.updated) == (2, 1)


@pytest.mark.parametrize(
    ("lists", "wrong"),
    [
        ({"users": [{"id": "new"}]}, ("users", 0, "name")),
        ({"users": [{"id": "a_b", "name": "x"}]}, ("users", 0, "id")),
        ({"users": [{"id": "new", "name": "ann"}]}, ("users", 0, "name")),
        ({"users": [{"id": "new", "name": "x", "email": "a@x"}]}, ("users", 0, "email")),
        ({"users": [{"id": "theirs", "name": "x"}]}, ("users", 0, "id")),
        (
            {"users": [{"id": "x", "name": "same"}, {"id": "y", "name": "same"}]},
            ("users", 0, "name"),
        ),
        ({"departments": [{"id": "new"}]}, ("departments", 0, "name")),
        ({"departments": [{"id": "a b", "name": "x"}]}, ("departments", 0, "id")),
        ({"departments": [{"id": "theirs", "name": "x"}]}, ("departments", 0, "id")),
        ({"departments": [{"id": "low", "parent_id": "gone"}]}, ("departments", 0, "parent_id")),
        ({"departments": [{"id": "top", "parent_id": "low"}]}, ("departments", 0, "parent_id")),
        ({"departments": [{"id": "top", "parent_id": "top"}]}, ("departments", 0, "parent_id")),
        (
            {
                "departments": [{"id": "low", "parent_id": "mid2"}],
                "delete": {"departments": ["mid"]},
            },
            ("departments", 0, "parent_id"),
        ),
        ({"links": [{"department_id": "gone", "user_id": "ann"}]}, ("links", 0, "department_id")),
        ({"links": [{"department_id": "low", "user_id": "gone"}]}, ("links", 0, "user_id")),
        (
            {
                "links": [{"department_id": "top", "user_id": "ann"}],
                "delete": {"users": ["ann"]},
            },
            ("links", 0, "user_id"),
        ),
    ],
)
def test_what_cannot_be_is_named(lists: dict[str, Any], wrong: tuple[str, int, str]) -> None:
    """List, index and field."""
    foreign = frozenset({("users", "theirs"), ("departments", "theirs")})

    assert errors(plan_of(replace(STOCK, foreign=foreign), **lists))[0] == wrong


def test_a_namesake_who_goes_is_none() -> None:
    """His name is free in the same batch."""
    plan = plan_of(STOCK, users=[{"id": "new", "name": "ann"}], delete={"users": ["ann"]})

    assert plan.errors == []


def test_adopted_namesakes_may_stay() -> None:
    """Only a name that is new to a user must be his alone."""
    twin = replace(BOB, login="ann")
    stock = replace(STOCK, people={"ann": ANN, "bob": twin}, namesakes=(ANN, twin))

    assert plan_of(stock, users=[{"id": "bob", "name": "ann", "nickname": "B"}]).errors == []


def test_a_full_level_and_a_deep_tree_are_refused() -> None:
    """1,296 below one parent, 128 levels; what a move would push too deep counts too."""
    deep = {
        f"d{n}": DepartmentRow(f"d{n}", "D", "", f"d{n - 1}" * (n > 1), "00" * n, "t1", 0)
        for n in range(1, 128)
    }
    stock = replace(STOCK, departments=deep | TREE | {"top": TREE["top"]._replace(location="01")})
    moved = plan_of(stock, departments=[{"id": "mid", "parent_id": "d127"}])
    fits = plan_of(stock, departments=[{"id": "low", "parent_id": "d127"}])

    assert errors(moved) == [("departments", 0, "id")]
    assert fits.errors == []


@pytest.mark.parametrize(
    ("lists", "wrong"),
    [
        ({"users": [{"id": "a", "name": 1}, {"id": "b"}, {"name": "c"}]}, [(0, "name"), (2, "id")]),
        ({"users": [{"id": "a", "nmae": "x"}]}, [(0, "nmae")]),
        ({"users": [{"id": "a", "role": "king"}, {"id": "a\0"}]}, [(0, "role"), (1, "id")]),
        ({"users": [{"id": "a", "name": "x" * 46}]}, [(0, "name")]),
        ({"users": [{"id": "a"}, {"id": "a"}]}, [(1, "id")]),
        ({"users": [{"id": "a"}], "delete": {"users": ["a"]}}, [(0, "id")]),
        ({"delete": {"users": ["a", "a"]}}, [(1, "id")]),
        ({"departments": [{"id": "a", "sort": 0.5}]}, [(0, "sort")]),
        (
            {"departments": [{"id": "a", "name": ""}, {"id": "b", "sort": 2**31}]},
            [(0, "name"), (1, "sort")],
        ),
        ({"links": [{"department_id": "a"}, {}]}, [(0, "user_id"), (1, "department_id")]),
        ({"delete": {"links": [{"department_id": "a"}]}}, [(0, "user_id")]),
    ],
)
def test_rows_that_are_wrong_by_themselves_are_named(
    lists: dict[str, Any], wrong: list[tuple[int, str]]
) -> None:
    """All of them, not only the first."""
    with pytest.raises(RowsRefused) as refused:
        batch(**lists)

    assert [(each.index, each.field) for each in refused.value.errors] == wrong


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"[]", "body"),
        (b"{", "body"),
        (b"{}", "body"),
        (b'{"users":{}}', "users"),
        (b'{"user":[]}', "user"),
        (b'{"users":[],"dry_run":1}', "dry_run"),
        (b'{"delete":{"user":[]}}', "delete.user"),
        (b'{"delete":{"users":[1]}}', "delete.users[0]"),
        (msgspec.json.encode({"users": [{"id": str(n)} for n in range(MAX_ROWS + 1)]}), "body"),
    ],
)
def test_what_is_no_batch_is_refused(raw: bytes, field: str) -> None:
    """By the name of what is wrong; so is one of more than 1,000 rows."""
    with pytest.raises(BadInput) as refused:
        decode_batch(raw)

    assert refused.value.field == field


def test_a_password_is_in_no_error() -> None:
    """Even one that was sent as a number."""
    with pytest.raises(RowsRefused) as refused:
        batch(users=[{"id": "a", "name": "a", "password": 8675309}])

    assert "8675309" not in str(refused.value) + str(refused.value.errors)
    assert "8675309" not in repr(refused.value)
