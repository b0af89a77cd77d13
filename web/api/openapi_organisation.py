"""The operations of /v2 about departments, tenants and customers, as the OpenAPI document shows them."""

from web.api.openapi import PAGING, Json, content, operation, query
from web.core.problems import MEDIA_TYPE

TENANT = query("tenant", "Whose; only operators name another one than their own")
READ = "For everybody of the tenant, and operators."
SYNC = "Permission `sync`, of an application or a role; or an operator."
OPERATOR = "For operators: an access token with scope `admin`."
CREATED = "What was created"
FOUND = "What was found"
GONE = "Done"

EXAMPLE_BATCH = {
    "departments": [{"id": "d1", "name": "Sales"}, {"id": "d2", "name": "EU", "parent_id": "d1"}],
    "users": [{"id": "u1", "name": "ann", "nickname": "Ann"}],
    "links": [{"department_id": "d2", "user_id": "u1"}],
    "delete": {"users": ["u9"]},
}


def list_departments() -> Json:
    """GET /v2/departments"""
    return operation(
        "listDepartments",
        "List the departments of a tenant",
        f"{READ} By id.",
        parameters=[
            TENANT,
            query("parent_id", "Only those right below this one; empty = the roots"),
            *PAGING,
        ],
        answers={"200": (FOUND, content("DepartmentsAnswer"))},
        refusals="401 403 422 503",
    )


def create_department() -> Json:
    """POST /v2/departments"""
    return operation(
        "createDepartment",
        "Create a department",
        f"{SYNC} 409: the id is taken, or there is no place left below the parent.",
        body=content("NewDepartment", example={"name": "Sales", "parent_id": "d1"}),
        answers={"201": (CREATED, content("Department"))},
        refusals="401 403 409 413 422 503",
    )


def get_tree() -> Json:
    """GET /v2/department-tree"""
    return operation(
        "getDepartmentTree",
        "All departments of a tenant as a tree",
        f"{READ} Each level is sorted by (sort, name, id). Departments whose parent there is not "
        "are left out; the list has them.",
        parameters=[TENANT],
        answers={"200": (FOUND, content("DepartmentTree"))},
        refusals="401 403 422 503",
    )


def get_department() -> Json:
    """GET /v2/departments/<department_id>"""
    return operation(
        "getDepartment",
        "Read a department",
        READ,
        parameters=[TENANT],
        answers={"200": (FOUND, content("Department"))},
        refusals="401 403 404 422 503",
    )


def change_department() -> Json:
    """PATCH /v2/departments/<department_id>"""
    return operation(
        "changeDepartment",
        "Change or move a department",
        f"{SYNC} What is left out stays. Another `parent_id` moves the department with all that "
        "lies below it; 409 if it would lie below itself, or there is no place left.",
        parameters=[TENANT],
        body=content("DepartmentChange", example={"parent_id": "d2"}),
        answers={"200": ("What it is now", content("Department"))},
        refusals="401 403 404 409 413 422 503",
    )


def delete_department() -> Json:
    """DELETE /v2/departments/<department_id>"""
    return operation(
        "deleteDepartment",
        "Delete a department",
        f"{SYNC} 409 if it is not empty, unless `cascade=true` is given: then all departments "
        "below it go too, and nobody is in any of them any more.",
        parameters=[TENANT, query("cascade", "Default false", type_="boolean")],
        answers={"204": (GONE, None)},
        refusals="401 403 404 409 422 503",
    )


def list_members() -> Json:
    """GET /v2/departments/<department_id>/members"""
    return operation(
        "listDepartmentMembers",
        "List who is in a department",
        f"{READ} By (sort, id).",
        parameters=[
            TENANT,
            query(
                "deep",
                "Also who is in a department below it: each once, by id, without `sort`",
                type_="boolean",
            ),
            *PAGING,
        ],
        answers={"200": (FOUND, content("DepartmentMembersAnswer"))},
        refusals="401 403 404 422 503",
    )


def add_members() -> Json:
    """POST /v2/departments/<department_id>/members"""
    return operation(
        "addDepartmentMembers",
        "Put users into a department",
        f"{SYNC} Up to 1,000 at once, all or nobody. Who is in it already, gets the sort.",
        parameters=[TENANT],
        body=content("NewLinks", example={"user_ids": ["u1", "u2"]}),
        answers={"204": (GONE, None)},
        refusals="401 403 404 413 422 503",
    )


def sort_member() -> Json:
    """PATCH /v2/departments/<department_id>/members/<user_id>"""
    return operation(
        "sortDepartmentMember",
        "Give a user another place in a department",
        SYNC,
        parameters=[TENANT],
        body=content("LinkChange", example={"sort": 3}),
        answers={"204": (GONE, None)},
        refusals="401 403 404 413 422 503",
    )


def remove_member() -> Json:
    """DELETE /v2/departments/<department_id>/members/<user_id>"""
    return operation(
        "removeDepartmentMember",
        "Take a user out of a department",
        f"{SYNC} Who is not in it, stays so.",
        parameters=[TENANT],
        answers={"204": (GONE, None)},
        refusals="401 403 404 422 503",
    )


def of_user() -> Json:
    """GET /v2/users/<user_id>/departments"""
    return operation(
        "listUserDepartments",
        "List in which departments a user is",
        f"{READ} His first one first.",
        parameters=[TENANT],
        answers={"200": (FOUND, content("DepartmentsOfUser"))},
        refusals="401 403 422 503",
    )


def list_tenants() -> Json:
    """GET /v2/tenants"""
    return operation(
        "listTenants",
        "List all tenants",
        f"{OPERATOR} By id.",
        parameters=[query("customer_id", "Only this one's; empty = of none"), *PAGING],
        answers={"200": (FOUND, content("TenantsAnswer"))},
        refusals="401 403 422 503",
    )


def create_tenant() -> Json:
    """POST /v2/tenants"""
    return operation(
        "createTenant",
        "Create a tenant",
        f"{OPERATOR} 409: the id is taken.",
        body=content("NewTenant", example={"id": "acme", "name": "Acme"}),
        answers={"201": (CREATED, content("Tenant"))},
        refusals="401 403 409 413 422 503",
    )


def get_tenant() -> Json:
    """GET /v2/tenants/<tenant_id>"""
    return operation(
        "getTenant",
        "Read a tenant",
        f"{READ} Another tenant is not found.",
        answers={"200": (FOUND, content("Tenant"))},
        refusals="401 403 404 422 503",
    )


def change_tenant() -> Json:
    """PATCH /v2/tenants/<tenant_id>"""
    return operation(
        "changeTenant",
        "Change or disable a tenant",
        f"{SYNC} What is left out stays. Only operators change `customer_id` and `disabled`: nobody "
        "of a disabled tenant gets in.",
        body=content("TenantChange", example={"name": "Acme Ltd"}),
        answers={"200": ("What it is now", content("Tenant"))},
        refusals="401 403 404 413 422 503",
    )


def delete_tenant() -> Json:
    """DELETE /v2/tenants/<tenant_id>"""
    return operation(
        "deleteTenant",
        "Delete a tenant",
        f"{OPERATOR} 409 while it has users, departments, groups or applications.",
        answers={"204": (GONE, None)},
        refusals="401 403 404 409 422 503",
    )


def list_customers() -> Json:
    """GET /v2/customers"""
    return operation(
        "listCustomers",
        "List all customers",
        f"{OPERATOR} By id.",
        parameters=PAGING,
        answers={"200": (FOUND, content("CustomersAnswer"))},
        refusals="401 403 422 503",
    )


def create_customer() -> Json:
    """POST /v2/customers"""
    return operation(
        "createCustomer",
        "Create a customer",
        f"{OPERATOR} 409: the id is taken.",
        body=content("NewCustomer", example={"id": "c1", "name": "Acme Holding"}),
        answers={"201": (CREATED, content("Customer"))},
        refusals="401 403 409 413 422 503",
    )


def get_customer() -> Json:
    """GET /v2/customers/<customer_id>"""
    return operation(
        "getCustomer",
        "Read a customer",
        OPERATOR,
        answers={"200": (FOUND, content("Customer"))},
        refusals="401 403 404 422 503",
    )


def change_customer() -> Json:
    """PATCH /v2/customers/<customer_id>"""
    return operation(
        "changeCustomer",
        "Rename a customer",
        OPERATOR,
        body=content("CustomerChange", example={"name": "Acme Holding Ltd"}),
        answers={"200": ("What it is now", content("Customer"))},
        refusals="401 403 404 413 422 503",
    )


def delete_customer() -> Json:
    """DELETE /v2/customers/<customer_id>"""
    return operation(
        "deleteCustomer",
        "Delete a customer",
        f"{OPERATOR} 409 while it has tenants.",
        answers={"204": (GONE, None)},
        refusals="401 403 404 409 422 503",
    )


def sync() -> Json:
    """POST /v2/sync"""
    wrong = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/SyncProblem"}}}
    return operation(
        "sync",
        "Create, change and delete many users, departments and links",
        f"{SYNC} Up to 1,000 rows in all, in any order, all or nothing: 422 names what is wrong "
        "with each row. What is left out of a row stays as it is; what there is not is created. "
        "The same batch again changes nothing. Hashing a password takes 30 ms, so at most 20 rows "
        "bring a plain one, the others an argon2id hash or none.",
        body=content("SyncRequest", example=EXAMPLE_BATCH),
        answers={
            "200": ("What became of the rows, or would", content("SyncAnswer")),
            "422": ("Rows are wrong; nothing was changed", wrong),
        },
        refusals="401 403 409 413 429 503 504",
    )
