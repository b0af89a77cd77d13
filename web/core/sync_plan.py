"""What a batch changes in a tenant: worked out before anything is written.

    Stock      what the tenant has, as far as the batch names it
    Plan       the rows to write, and what became of each row of the batch

Rows are looked at as they will be in the end, not one after the other: a parent may come behind its
children, two users may swap their names. A department that goes must be empty of departments that stay.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from appmodel.core.departments import DepartmentRow, LinkRow
from appmodel.core.locations import Department as Place
from appmodel.core.locations import place_all
from appmodel.core.people import DISABLED, ENABLED, Person
from appmodel.errors import BadInput, Conflict, PushError
from web.core.fields import id_of, uid_of
from web.core.sync import (
    DEPARTMENTS,
    GONE_DEPARTMENTS,
    LINKS,
    USERS,
    Counts,
    RowError,
    SyncAnswer,
    SyncedDepartment,
    SyncedLink,
    SyncedUser,
    SyncRequest,
    row_error,
)

A_NAME = "a value: the row is new"


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is. Users and departments of other tenants only lend their ids."""

    tenant_id: str
    people: Mapping[str, Person]  # of the tenant, whom the batch names
    departments: Mapping[str, DepartmentRow]  # of the tenant; all, if the batch changes any
    links: Mapping[tuple[str, str], int]  # department, user -> sort; those that the batch names
    foreign: AbstractSet[tuple[str, str]]  # ("users" or "departments", id) of other tenants
    namesakes: Sequence[Person]  # of the tenant, with a name or address that the batch gives


@dataclass(slots=True)
class Plan:
    """What is to be written."""

    new_people: list[Person] = field(default_factory=list)
    changed_people: list[Person] = field(default_factory=list)
    new_departments: list[DepartmentRow] = field(default_factory=list)
    changed_departments: list[DepartmentRow] = field(default_factory=list)
    links: list[LinkRow] = field(default_factory=list)  # new or changed
    gone_people: list[str] = field(default_factory=list)
    gone_departments: list[str] = field(default_factory=list)
    gone_links: list[tuple[str, str]] = field(default_factory=list)
    logged_out: list[str] = field(default_factory=list)  # gone, disabled, or with a new password
    users_count: Counts = field(default_factory=Counts)
    departments_count: Counts = field(default_factory=Counts)
    links_count: Counts = field(default_factory=Counts)
    errors: list[RowError] = field(default_factory=list)

    def answer(self, *, dry_run: bool) -> SyncAnswer:
        """What the caller is told."""
        return SyncAnswer(
            dry_run=dry_run,
            users=self.users_count,
            departments=self.departments_count,
            links=self.links_count,
        )


def make_plan(batch: SyncRequest, stock: Stock, new_passwords: AbstractSet[str]) -> Plan:
    """Work it out. Nothing may be written if it has errors.

    Args:
        new_passwords: ids of users whose password is another than what is stored.
    """
    return _Planning(batch, stock, new_passwords).make()


class _Planning:
    """One batch."""

    def __init__(self, batch: SyncRequest, stock: Stock, new_passwords: AbstractSet[str]) -> None:
        self._batch = batch
        self._stock = stock
        self._new_passwords = new_passwords
        self._plan = Plan()
        self._people = dict(stock.people)  # as they will be
        self._departments = dict(stock.departments)

    def make(self) -> Plan:
        batch = self._batch
        self._delete()
        for index, user in enumerate(batch.users):
            try:
                self._put_user(user)
            except PushError as error:
                self._refuse(USERS, index, error)
        for index, department in enumerate(batch.departments):
            try:
                self._put_department(department)
            except PushError as error:
                self._refuse(DEPARTMENTS, index, error)
        self._check_names()
        self._check_tree()
        for index, link in enumerate(batch.links):
            try:
                self._put_link(link)
            except PushError as error:
                self._refuse(LINKS, index, error)
        if not self._plan.errors:
            self._place()
        return self._plan

    def _refuse(self, where: str, index: int, error: PushError) -> None:
        self._plan.errors.append(row_error(where, index, error))

    def _delete(self) -> None:
        plan, gone = self._plan, self._batch.delete
        plan.gone_people = [uid for uid in gone.users if self._people.pop(uid, None)]
        plan.gone_departments = [
            one for one in gone.departments if self._departments.pop(one, None)
        ]
        plan.gone_links = [link.id for link in gone.links if link.id in self._stock.links]
        plan.logged_out += plan.gone_people
        for counts, named, there in (
            (plan.users_count, gone.users, plan.gone_people),
            (plan.departments_count, gone.departments, plan.gone_departments),
            (plan.links_count, gone.links, plan.gone_links),
        ):
            counts.deleted, counts.unchanged = len(there), len(named) - len(there)

    def _put_user(self, row: SyncedUser) -> None:
        given = row.given()
        disabled = given.pop("disabled", None)
        if "name" in given:
            given["login"] = given.pop("name")
        old = self._people.get(row.id)
        new = replace(old or self._new_person(row), **given)
        if disabled is not None and disabled != (new.status == DISABLED):
            new = replace(new, status=DISABLED if disabled else ENABLED)
        if old is None:
            self._plan.new_people.append(new)
            self._plan.users_count.created += 1
        else:
            self._change_person(old, new)
        self._people[row.id] = new

    def _new_person(self, row: SyncedUser) -> Person:
        uid_of("id", row.id)
        if (USERS, row.id) in self._stock.foreign:
            raise Conflict(f"id: {row.id!r} is taken")
        if not row.name:
            raise BadInput("name", None, A_NAME)
        tenant_id = self._stock.tenant_id
        return Person(row.id, "", "", "", "", "", ENABLED, tenant_id, "", "", "", "member")

    def _change_person(self, old: Person, new: Person) -> None:
        plan, has_new_password = self._plan, old.uid in self._new_passwords
        if new != old or has_new_password:
            plan.changed_people.append(new)
            plan.users_count.updated += 1
        else:
            plan.users_count.unchanged += 1
        if has_new_password or (new.status == DISABLED and old.status != DISABLED):
            plan.logged_out.append(old.uid)

    def _check_names(self) -> None:
        """A name or address that is new to a user may be nobody else's in the tenant."""
        gone = set(self._plan.gone_people)
        others = (each for each in self._stock.namesakes if each.uid not in gone)
        finally_ = {each.uid: each for each in others} | self._people
        owners: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for person in finally_.values():
            owners["name", person.login].add(person.uid)
            owners["email", person.email].add(person.uid)
        for index, row in enumerate(self._batch.users):
            old, new = self._stock.people.get(row.id), self._people.get(row.id)
            if new is None:
                continue  # it has an error already
            was = ("", "") if old is None else (old.login, old.email)
            for name, before, after in zip(
                ("name", "email"), was, (new.login, new.email), strict=True
            ):
                if after and after != before and owners[name, after] - {row.id}:
                    taken = BadInput(name, after, "what no other user of the tenant has")
                    self._refuse(USERS, index, taken)

    def _put_department(self, row: SyncedDepartment) -> None:
        plan, old = self._plan, self._departments.get(row.id)
        if old is not None:
            new = old._replace(**row.given())
            if new == old:
                plan.departments_count.unchanged += 1
            else:
                plan.departments_count.updated += 1
        else:
            id_of("id", row.id)
            if (DEPARTMENTS, row.id) in self._stock.foreign:
                raise Conflict(f"id: {row.id!r} is taken")
            if not row.name:
                raise BadInput("name", None, A_NAME)
            empty = DepartmentRow(row.id, "", "", "", "", self._stock.tenant_id, 0)
            new = empty._replace(**row.given())
            plan.departments_count.created += 1
        self._departments[row.id] = new

    def _check_tree(self) -> None:
        """Parents are there, nothing lies below itself, and what goes is empty."""
        for index, row in enumerate(self._batch.departments):
            new, old = self._departments.get(row.id), self._stock.departments.get(row.id)
            if new is None or not new.parent_id or (old and old.parent_id == new.parent_id):
                continue
            if new.parent_id not in self._departments:
                wrong: PushError = BadInput(
                    "parent_id", new.parent_id, "a department of the tenant"
                )
                self._refuse(DEPARTMENTS, index, wrong)
            elif self._is_in_circle(row.id):
                wrong = BadInput("parent_id", new.parent_id, "a department that is not below it")
                self._refuse(DEPARTMENTS, index, wrong)
        parents = {row.parent_id for row in self._departments.values()}
        for index, department_id in enumerate(self._batch.delete.departments):
            if department_id in parents and department_id in self._stock.departments:
                left = Conflict(f"id: departments that stay lie below {department_id!r}")
                self._refuse(GONE_DEPARTMENTS, index, left)

    def _is_in_circle(self, department_id: str) -> bool:
        seen: set[str] = set()
        at = self._departments[department_id].parent_id
        while at in self._departments and at not in seen:
            if at == department_id:
                return True
            seen.add(at)
            at = self._departments[at].parent_id
        return False

    def _put_link(self, row: SyncedLink) -> None:
        plan = self._plan
        if row.department_id not in self._departments:
            raise BadInput("department_id", row.department_id, "a department of the tenant")
        if row.user_id not in self._people:
            raise BadInput("user_id", row.user_id, "a user of the tenant")
        old = self._stock.links.get(row.id)
        sort = row.sort if isinstance(row.sort, int) else old or 0
        if old == sort:
            plan.links_count.unchanged += 1
            return
        plan.links.append(LinkRow(*row.id, sort))
        if old is None:
            plan.links_count.created += 1
        else:
            plan.links_count.updated += 1

    def _place(self) -> None:
        """Locations: only if the tree has another shape, for adopted ones may be wrong."""
        stock, plan = self._stock.departments, self._plan
        rows = self._departments
        if any(id_ not in stock or stock[id_].parent_id != r.parent_id for id_, r in rows.items()):
            places = place_all(Place(r.id, r.parent_id, r.location) for r in rows.values())
            rows = {id_: row._replace(location=places[id_]) for id_, row in rows.items()}
        lost = {id_ for id_, row in rows.items() if not row.location and self._needs_place(row)}
        for index, department in enumerate(self._batch.departments):
            if department.id in lost:
                full = Conflict(f"parent_id: there is no place left for {department.id!r}")
                self._refuse(DEPARTMENTS, index, full)
        if lost and not plan.errors:  # something below a department that moves too deep
            full = Conflict(f"parent_id: there is no place left for {min(lost)!r} below it")
            self._refuse(DEPARTMENTS, 0, full)
        plan.new_departments = [row for id_, row in rows.items() if id_ not in stock]
        plan.changed_departments = [
            r for id_, r in rows.items() if id_ in stock and r != stock[id_]
        ]

    def _needs_place(self, row: DepartmentRow) -> bool:
        """It is new, or moves, or has had a place: so it must get one."""
        old = self._stock.departments.get(row.id)
        return old is None or old.parent_id != row.parent_id or bool(old.location)
