"""A batch of users, departments and links, as another system delivers it: POST /v2/sync.

    {"departments":[{"id":"d1","name":"Sales"},{"id":"d2","name":"Europe","parent_id":"d1"}],
     "users":[{"id":"u1","name":"ann","nickname":"Ann","password":"$argon2id$v=19$..."}],
     "links":[{"department_id":"d2","user_id":"u1"}],
     "delete":{"users":["u9"],"departments":["d9"],"links":[{"department_id":"d1","user_id":"u1"}]},
     "dry_run":false}

At most 1,000 rows in all, in any order: a parent may come behind its children. What is left out of a row stays as
it is; what there is not is created. All or nothing; the same batch again changes nothing.

    {"dry_run":false,"users":{"created":1,"updated":0,"unchanged":0,"deleted":1},"departments":{...},"links":{...}}

Hashing a password takes 30 ms of a core, so at most 20 rows of a call bring plain ones (or MD5s); the others bring
argon2id hashes, or none.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from appmodel.errors import BadInput, PushError
from web.core.decoding import decode
from web.core.fields import known_id, number_of
from web.core.organisation import DepartmentChange, Sort, TenantId
from web.core.problems import Problem
from web.core.users import Secret, UserChange

MAX_ROWS = 1000
MAX_PLAIN = 20  # passwords to hash in a call
MAX_ERRORS = 100  # that are shown

USERS, DEPARTMENTS, LINKS = "users", "departments", "links"
GONE_USERS, GONE_DEPARTMENTS, GONE_LINKS = "delete.users", "delete.departments", "delete.links"


class SyncedUser(UserChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user, new or not. A new one needs a name."""

    id: str
    password: (
        Annotated[Secret, Meta(description="An argon2id hash; or in 20 rows of a call a plain one")]
        | UnsetType
    ) = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        known_id("id", self.id)
        super().check()

    def given(self) -> dict[str, Any]:
        """What is given, without id and password, by name."""
        return {k: v for k, v in self.columns().items() if k not in {"id", "password"}}


class SyncedDepartment(DepartmentChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A department, new or not. A new one needs a name."""

    id: str

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        known_id("id", self.id)
        super().check()

    def given(self) -> dict[str, Any]:
        """What is given, without the id, by name."""
        values = msgspec.structs.asdict(self).items()
        return {k: v for k, v in values if v is not UNSET and k != "id"}


class LinkName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which link."""

    department_id: str
    user_id: str

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        known_id("department_id", self.department_id)
        known_id("user_id", self.user_id)

    @property
    def id(self) -> tuple[str, str]:
        """Department and user."""
        return self.department_id, self.user_id


class SyncedLink(LinkName, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a user is in a department."""

    sort: Sort | UnsetType = UNSET

    def check(self) -> None:
        """Raise BadInput for what no row can hold."""
        super().check()
        if self.sort is not UNSET:
            number_of("sort", self.sort)


class Deletions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to go, if it is there. Links of a user or a department go with it."""

    users: list[str] = []
    departments: list[str] = []
    links: list[LinkName] = []


class SyncRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch: up to 1,000 rows, all or nothing."""

    users: list[SyncedUser] = []
    departments: list[SyncedDepartment] = []
    links: list[SyncedLink] = []
    delete: Deletions = Deletions()
    tenant_id: TenantId | None = None
    dry_run: Annotated[bool, Meta(description="Only say what would happen")] = False


class Counts(msgspec.Struct, kw_only=True):
    """What became of the rows of one kind."""

    created: int = 0
    updated: int = 0
    unchanged: Annotated[int, Meta(description="As they were, or not there to be deleted")] = 0
    deleted: int = 0


class SyncAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch, or would."""

    dry_run: bool
    users: Counts
    departments: Counts
    links: Counts


class RowError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a row."""

    list: Annotated[str, Meta(description="users, departments, links, delete.users, ...")]
    index: Annotated[int, Meta(description="In the list, from 0")]
    field: str
    code: str
    detail: str


class SyncProblem(Problem, kw_only=True):
    """A refusal, with what is wrong with each row: the first 100."""

    errors: list[RowError] | UnsetType = UNSET


class RowsRefused(BadInput):
    """Rows of a batch are wrong. Nothing was changed."""

    def __init__(self, errors: list[RowError]) -> None:
        first = errors[0]
        self.errors = errors[:MAX_ERRORS]
        self.field = f"{first.list}[{first.index}]"
        Exception.__init__(self, f"{len(errors)} errors; the first: {self.field}: {first.detail}")


def row_error(where: str, index: int, error: PushError, field: str = "id") -> RowError:
    """What is wrong with a row. `field`: of an error that names none."""
    named = getattr(error, "field", None) or field
    return RowError(list=where, index=index, field=named, code=error.code, detail=str(error))


def decode_batch(raw: bytes) -> SyncRequest:
    """The batch in a body, every row of it alright by itself.

    Raises:
        RowsRefused: some are not.
        BadInput: it is no batch, or too large.
    """
    try:
        batch = decode(_BATCH, raw)
    except BadInput:
        _find_wrong_rows(decode(_ROWS, raw))
        raise
    rows = list(_rows_of(batch))
    if not 0 < len(rows) <= MAX_ROWS:
        raise BadInput("body", len(rows), f"1 to {MAX_ROWS} rows in all")
    errors = list(_errors_of(rows))
    if errors:
        raise RowsRefused(errors)
    return batch


Row = SyncedUser | SyncedDepartment | LinkName | str


def _rows_of(batch: SyncRequest) -> Iterator[tuple[str, int, Row]]:
    """All rows, with their list and index."""
    gone = batch.delete
    lists: dict[str, list[Any]] = {
        USERS: batch.users,
        DEPARTMENTS: batch.departments,
        LINKS: batch.links,
        GONE_USERS: gone.users,
        GONE_DEPARTMENTS: gone.departments,
        GONE_LINKS: gone.links,
    }
    for name, rows in lists.items():
        for index, row in enumerate(rows):
            yield name, index, row


def _errors_of(rows: list[tuple[str, int, Row]]) -> Iterator[RowError]:
    """What is wrong with rows by themselves; and each thing may be named once."""
    seen = set()
    for where, index, row in rows:
        try:
            if isinstance(row, str):
                known_id("id", row)
            else:
                row.check()
        except BadInput as error:
            yield row_error(where, index, error)
        own_id = row if isinstance(row, str) else row.id
        what = (where.removeprefix("delete."), own_id)
        if what in seen:
            yield row_error(where, index, BadInput("id", own_id, "a row that comes once"))
        seen.add(what)


class _RawDeletions(msgspec.Struct, forbid_unknown_fields=True):
    users: list[msgspec.Raw] = []
    departments: list[msgspec.Raw] = []
    links: list[msgspec.Raw] = []


class _RawRows(msgspec.Struct, forbid_unknown_fields=True):
    """The same batch, its rows not looked into."""

    users: list[msgspec.Raw] = []
    departments: list[msgspec.Raw] = []
    links: list[msgspec.Raw] = []
    delete: _RawDeletions = msgspec.field(default_factory=_RawDeletions)
    tenant_id: str | None = None
    dry_run: bool = False


_BATCH = msgspec.json.Decoder(SyncRequest)
_ROWS = msgspec.json.Decoder(_RawRows)
_USER = msgspec.json.Decoder(SyncedUser)
_DEPARTMENT = msgspec.json.Decoder(SyncedDepartment)
_LINK = msgspec.json.Decoder(SyncedLink)
_LINK_NAME = msgspec.json.Decoder(LinkName)


def _find_wrong_rows(raw: _RawRows) -> None:
    """Raise RowsRefused if rows are not of their shape."""
    shaped: list[tuple[str, list[msgspec.Raw], Any]] = [
        (USERS, raw.users, _USER),
        (DEPARTMENTS, raw.departments, _DEPARTMENT),
        (LINKS, raw.links, _LINK),
        (GONE_LINKS, raw.delete.links, _LINK_NAME),
    ]
    errors = []
    for where, rows, decoder in shaped:
        for index, row in enumerate(rows):
            try:
                decode(decoder, bytes(row))
            except BadInput as error:
                shown = error
                if error.field == "password":  # it is no text, but may be one all the same
                    shown = BadInput("password", "********", "a text")
                errors.append(row_error(where, index, shown))
    if errors:
        raise RowsRefused(errors)
