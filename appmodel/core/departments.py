"""What is known of a department, and of who is in it."""

from typing import NamedTuple


class DepartmentRow(NamedTuple):
    """A row of table `org`, read or to be written."""

    id: str
    name: str
    short_name: str
    parent_id: str  # "" = a root
    location: str  # see locations.py
    tenant_id: str
    sort: int


class LinkRow(NamedTuple):
    """That a user is in a department."""

    department_id: str
    user_id: str
    sort: int
