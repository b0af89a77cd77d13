"""The departments of a tenant as a tree, in the order in which they are shown.

Each level is sorted by (sort, name, id). What has no way up to a root is left out: rows whose parent there is
not, or that are in a circle, as an adopted database may hold them. Users are no part of it.

Source: appmsgsrv app/org.go; spec/appmsgsrv.md section 10.2. There only the two upper levels are sorted.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import msgspec

from appmodel.core.departments import DepartmentRow
from web.core.members import Member, member_of_department, member_of_tenant
from web.core.organisation import DepartmentNode, DepartmentTree

_ENCODER = msgspec.json.Encoder(order="sorted")


class Company:
    """A tenant with its departments. What it looks like is made once, and kept."""

    def __init__(self, tenant_id: str, name: str, departments: Iterable[DepartmentRow]) -> None:
        """`tenant_id`, `name`: "" if there is no such tenant, though it has departments."""
        self._tenant_id = tenant_id
        self._name = name
        self._roots = nest(departments)

    @cached_property
    def tree(self) -> DepartmentTree:
        """For /v2."""
        return DepartmentTree(tenant_id=self._tenant_id, name=self._name, children=self._roots)

    @cached_property
    def member(self) -> msgspec.Raw:
        """For 8093: the tenant's member, JSON, its members in alphabetical order."""
        children = [_member_of(root) for root in self._roots]
        member = member_of_tenant(self._tenant_id, self._name, children=children)
        return msgspec.Raw(_ENCODER.encode(member))


def nest(departments: Iterable[DepartmentRow]) -> list[DepartmentNode]:
    """The roots, each with what is below it."""
    levels: defaultdict[str, list[DepartmentNode]] = defaultdict(list)  # by the parent's id
    nodes = [(row.parent_id, _node_of(row)) for row in departments]
    for parent_id, node in sorted(nodes, key=lambda each: _order(each[1])):
        levels[parent_id].append(node)
    for _, node in nodes:
        node.children.extend(levels.get(node.id, ()))
    return levels[""]


def _node_of(row: DepartmentRow) -> DepartmentNode:
    return DepartmentNode(
        id=row.id, name=row.name, short_name=row.short_name, sort=row.sort, children=[]
    )


def _order(node: DepartmentNode) -> tuple[int, str, str]:
    return node.sort, node.name, node.id


def _member_of(node: DepartmentNode) -> Member:
    children = [_member_of(child) for child in node.children]
    return member_of_department(node.id, node.name, sort=node.sort, children=children)
