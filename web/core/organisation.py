"""Departments, tenants and customers, as /v2 shows and takes them.

    customer 1-n tenant 1-n department (a tree) n-m user

What is left out of a change stays as it is; what a struct does not know is refused. Widths are the columns'.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from web.core.fields import id_of, known_id, number_of, text_of
from web.core.paging import Next

MAX_DEPARTMENT_NAME = 120  # characters, as the next ones
MAX_SHORT_NAME = 60
MAX_TENANT_NAME = 128
MAX_CUSTOMER_NAME = 255
MAX_CODE = 64

NewId = Annotated[str, Meta(description="1 to 64 of A-Z a-z 0-9 . _ -; default: one is made up")]
TenantId = Annotated[str, Meta(description="Only operators name another one than their own")]
ParentId = Annotated[str, Meta(description='The department above; "" = a root')]
Sort = Annotated[int, Meta(description="Lists are sorted by it, then by name")]
Disabled = Annotated[bool, Meta(description="Whose users and applications may not call")]


class Department(msgspec.Struct, frozen=True, kw_only=True):
    """A department."""

    id: str
    tenant_id: str
    name: str
    short_name: str
    parent_id: ParentId
    location: Annotated[
        str, Meta(description="Its path, two characters a level: what lies below begins with it")
    ]
    sort: Sort


class NewDepartment(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A department to create."""

    name: str
    id: NewId | UnsetType = UNSET
    tenant_id: TenantId | None = None
    short_name: str = ""
    parent_id: ParentId = ""
    sort: Sort = 0

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            id_of("id", self.id)
        text_of("name", self.name, MAX_DEPARTMENT_NAME, least=1)
        text_of("short_name", self.short_name, MAX_SHORT_NAME)
        if self.parent_id:
            known_id("parent_id", self.parent_id)
        number_of("sort", self.sort)


class DepartmentChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a department. Another parent moves it, and all that lies below it."""

    name: str | UnsetType = UNSET
    short_name: str | UnsetType = UNSET
    parent_id: ParentId | UnsetType = UNSET
    sort: Sort | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.name is not UNSET:
            text_of("name", self.name, MAX_DEPARTMENT_NAME, least=1)
        if self.short_name is not UNSET:
            text_of("short_name", self.short_name, MAX_SHORT_NAME)
        if self.parent_id:
            known_id("parent_id", self.parent_id)
        if self.sort is not UNSET:
            number_of("sort", self.sort)


class DepartmentsAnswer(msgspec.Struct, frozen=True):
    """Departments of a tenant, by id."""

    items: list[Department]
    next: Next


class DepartmentsOfUser(msgspec.Struct, frozen=True):
    """In which a user is, his first one first."""

    items: list[Department]


class DepartmentNode(msgspec.Struct, frozen=True, kw_only=True):
    """A department with those right below it, by (sort, name, id)."""

    id: str
    name: str
    short_name: str
    sort: Sort
    children: list["DepartmentNode"]


class DepartmentTree(msgspec.Struct, frozen=True, kw_only=True):
    """All departments of a tenant that hang together."""

    tenant_id: str
    name: Annotated[str, Meta(description="Of the tenant")]
    children: Annotated[list[DepartmentNode], Meta(description="The roots, by (sort, name, id)")]


class DepartmentMember(msgspec.Struct, frozen=True, kw_only=True):
    """A user in a department."""

    id: str
    name: Annotated[str, Meta(description="For the login")]
    nickname: str
    avatar: str
    disabled: bool
    sort: Annotated[int, Meta(description="Within the department")] | UnsetType = UNSET


class DepartmentMembersAnswer(msgspec.Struct, frozen=True):
    """Who is in a department: by (sort, id), or with all that lies below it: by id."""

    items: list[DepartmentMember]
    next: Next


class NewLinks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Users to put into a department; who is there already only gets the sort."""

    user_ids: Annotated[list[str], Meta(description="1 to 1,000 users of the tenant")]
    sort: Sort = 0


class LinkChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a user's place in a department."""

    sort: Sort


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A company."""

    id: str
    code: str
    name: str
    customer_id: str
    disabled: Disabled


class NewTenant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to create."""

    name: str
    id: NewId | UnsetType = UNSET
    code: str = ""
    customer_id: str = ""
    disabled: Disabled = False

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            id_of("id", self.id)
        text_of("name", self.name, MAX_TENANT_NAME, least=1)
        text_of("code", self.code, MAX_CODE)
        if self.customer_id:
            known_id("customer_id", self.customer_id)


class TenantChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a tenant. Applications may change its name and code."""

    name: str | UnsetType = UNSET
    code: str | UnsetType = UNSET
    customer_id: str | UnsetType = UNSET
    disabled: Disabled | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.name is not UNSET:
            text_of("name", self.name, MAX_TENANT_NAME, least=1)
        if self.code is not UNSET:
            text_of("code", self.code, MAX_CODE)
        if self.customer_id:
            known_id("customer_id", self.customer_id)


class TenantsAnswer(msgspec.Struct, frozen=True):
    """Tenants, by id."""

    items: list[Tenant]
    next: Next


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays for tenants."""

    id: str
    name: str


class NewCustomer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer to create."""

    name: str
    id: NewId | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        if self.id is not UNSET:
            id_of("id", self.id)
        text_of("name", self.name, MAX_CUSTOMER_NAME, least=1)


class CustomerChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a customer."""

    name: str

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        text_of("name", self.name, MAX_CUSTOMER_NAME, least=1)


class CustomersAnswer(msgspec.Struct, frozen=True):
    """Customers, by id."""

    items: list[Customer]
    next: Next
