"""Where departments are in their tree: paths of two characters a level.

    00            the first root of a tenant
    0000  0001    its first two departments
    000100        the first one below 0001

A department lies below another if its location begins with the other's. Digits come before letters, so the
order of locations is the order of the tree, byte by byte. A level holds 1,296 departments, a path
128 levels; what finds no place has the location "", and then nothing lies below it.

Source: appmsgsrv app/org.go; spec/appmsgsrv.md section 10.1. There a successor overflows into "{0", roots
are counted over all tenants, and a department that moves keeps its place: none of that here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
STEP = 2  # characters of a level
LEVEL = len(ALPHABET) ** STEP  # departments of one level
MAX_LOCATION = 256  # characters


class Department(NamedTuple):
    """What locations depend on."""

    id: str
    parent_id: str  # empty: a root
    location: str


def next_location(parent: str, siblings: Collection[str]) -> str | None:
    """The place of a new department; None if there is none left.

    It follows the greatest sibling, as in the original; after "zz" the first one that is free is taken.

    Args:
        parent: its location; "" for a root.
        siblings: the locations of the others below that parent.
    """
    if len(parent) + STEP > MAX_LOCATION:
        return None
    taken = {place[-STEP:] for place in siblings if _is_step(place, parent)}
    last = max(taken, default=None)
    number = 0 if last is None else _number(last) + 1
    if number == LEVEL:
        free = (n for n in range(LEVEL) if _text(n) not in taken)
        number = next(free, LEVEL)
    return parent + _text(number) if number < LEVEL else None


def is_below(location: str, ancestor: str) -> bool:
    """Whether a department lies somewhere below another, or is it."""
    return bool(ancestor) and location.startswith(ancestor)


def place_all(departments: Iterable[Department]) -> dict[str, str]:
    """The right location of each department of one tenant, by id.

    Who has a right one keeps it; if two have the same, the smaller id does. The others get new ones, in the order of
    their ids, and all that is below them moves along. A department whose parent there is not counts as a
    root; of those that are in a circle the one with the smallest id does.
    """
    known = {each.id: each for each in departments}
    children: defaultdict[str, list[Department]] = defaultdict(list)
    for each in sorted(known.values()):  # by id
        children[each.parent_id if each.parent_id in known else ""].append(each)
    for end in _ends_of_circles(known):
        children[known[end].parent_id].remove(known[end])
        children[""].append(known[end])
    places = dict(_place_level("", sorted(children[""])))
    waiting = [id for id in places if id in children]
    while waiting:
        parent = waiting.pop()
        level = children[parent]
        found = (
            _place_level(places[parent], level) if places[parent] else ((e.id, "") for e in level)
        )
        places.update(found)
        waiting += [each.id for each in level if each.id in children]
    return places


def _place_level(parent: str, level: Iterable[Department]) -> Iterator[tuple[str, str]]:
    taken: set[str] = set()
    homeless = []
    for each in level:
        if _is_step(each.location, parent) and each.location not in taken:
            taken.add(each.location)
            yield each.id, each.location
        else:
            homeless.append(each)
    for each in homeless:
        place = next_location(parent, taken) or ""
        taken.add(place)
        yield each.id, place


def _ends_of_circles(known: Mapping[str, Department]) -> Iterator[str]:
    """Of each circle of parents the smallest id."""
    seen: set[str] = set()
    for start in known:
        path: list[str] = []
        at = start
        while at in known and at not in seen:
            seen.add(at)
            path.append(at)
            at = known[at].parent_id
        if at in path:
            yield min(path[path.index(at) :])


def _is_step(location: str, parent: str) -> bool:
    """Whether it is one level below `parent`."""
    last = location[len(parent) :]
    return len(last) == STEP and location.startswith(parent) and set(last) <= set(ALPHABET)


def _number(last: str) -> int:
    return ALPHABET.index(last[0]) * len(ALPHABET) + ALPHABET.index(last[1])


def _text(number: int) -> str:
    first, second = divmod(number, len(ALPHABET))
    return ALPHABET[first] + ALPHABET[second]
