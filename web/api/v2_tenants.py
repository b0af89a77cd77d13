"""Tenants and customers of /v2.

    GET    /v2/tenants?customer_id=C       {"items":[{"id","code","name","customer_id","disabled"}],"next":...}
    POST   /v2/tenants    {"name":"Acme"}  201 {"id",...}
    GET    /v2/tenants/T                   PATCH {"disabled":true}
    DELETE /v2/tenants/T                   204, if it is empty
    ...    /v2/customers                   {"id","name"}, the same five

The operator's; but everybody reads his own tenant, and permission SYNC changes its name and code.
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_organisation as described
from web.api.v2_frame import Rule, body, headers, json_answer, no_content, query
from web.core.decoding import decode
from web.core.fields import known_id
from web.core.organisation import (
    Customer,
    CustomerChange,
    CustomersAnswer,
    NewCustomer,
    NewTenant,
    Tenant,
    TenantChange,
    TenantsAnswer,
)
from web.core.paging import PARAMETERS, paging_of
from web.core.principals import Operator
from web.services.callers import Callers
from web.services.tenants import Customers, Tenants

_NEW_TENANT = msgspec.json.Decoder(NewTenant)
_TENANT_CHANGE = msgspec.json.Decoder(TenantChange)
_NEW_CUSTOMER = msgspec.json.Decoder(NewCustomer)
_CUSTOMER_CHANGE = msgspec.json.Decoder(CustomerChange)


class TenantsPart:
    """The handlers."""

    structs = (
        Tenant,
        NewTenant,
        TenantChange,
        TenantsAnswer,
        Customer,
        NewCustomer,
        CustomerChange,
        CustomersAnswer,
    )

    def __init__(self, callers: Callers, tenants: Tenants, customers: Customers) -> None:
        self._callers = callers
        self._tenants = tenants
        self._customers = customers
        tenant, customer = "/v2/tenants/<tenant_id>", "/v2/customers/<customer_id>"
        self.rules = (
            Rule("GET", "/v2/tenants", self.list_tenants, described.list_tenants()),
            Rule("POST", "/v2/tenants", self.create_tenant, described.create_tenant()),
            Rule("GET", tenant, self.get_tenant, described.get_tenant()),
            Rule("PATCH", tenant, self.change_tenant, described.change_tenant()),
            Rule("DELETE", tenant, self.delete_tenant, described.delete_tenant()),
            Rule("GET", "/v2/customers", self.list_customers, described.list_customers()),
            Rule("POST", "/v2/customers", self.create_customer, described.create_customer()),
            Rule("GET", customer, self.get_customer, described.get_customer()),
            Rule("PATCH", customer, self.change_customer, described.change_customer()),
            Rule("DELETE", customer, self.delete_customer, described.delete_customer()),
        )

    async def list_tenants(self) -> QuartResponse:
        """A page of all."""
        caller = await self._operator()
        asked = query("customer_id", *PARAMETERS)
        customer_id = asked.get("customer_id")
        if customer_id:
            known_id("customer_id", customer_id)
        items, after = await self._tenants.page(caller, paging_of(asked, str), customer_id)
        return json_answer(TenantsAnswer(items, after))

    async def create_tenant(self) -> QuartResponse:
        """A new one."""
        caller = await self._operator()
        query()
        wanted = decode(_NEW_TENANT, await body())
        return json_answer(await self._tenants.create(caller, wanted), 201)

    async def get_tenant(self, tenant_id: str) -> QuartResponse:
        """One."""
        caller = await self._callers.principal(headers(), "admin")
        query()
        return json_answer(await self._tenants.get(caller, known_id("tenant", tenant_id)))

    async def change_tenant(self, tenant_id: str) -> QuartResponse:
        """Change one."""
        caller = await self._callers.principal(headers(), "admin")
        query()
        tenant_id, wanted = known_id("tenant", tenant_id), decode(_TENANT_CHANGE, await body())
        return json_answer(await self._tenants.change(caller, tenant_id, wanted))

    async def delete_tenant(self, tenant_id: str) -> QuartResponse:
        """Delete an empty one."""
        caller = await self._operator()
        query()
        await self._tenants.delete(caller, known_id("tenant", tenant_id))
        return no_content()

    async def list_customers(self) -> QuartResponse:
        """A page of all."""
        caller = await self._operator()
        items, after = await self._customers.page(caller, paging_of(query(*PARAMETERS), str))
        return json_answer(CustomersAnswer(items, after))

    async def create_customer(self) -> QuartResponse:
        """A new one."""
        caller = await self._operator()
        query()
        wanted = decode(_NEW_CUSTOMER, await body())
        return json_answer(await self._customers.create(caller, wanted), 201)

    async def get_customer(self, customer_id: str) -> QuartResponse:
        """One."""
        caller = await self._operator()
        query()
        return json_answer(await self._customers.get(caller, known_id("customer", customer_id)))

    async def change_customer(self, customer_id: str) -> QuartResponse:
        """Rename one."""
        caller = await self._operator()
        query()
        known_id("customer", customer_id)
        wanted = decode(_CUSTOMER_CHANGE, await body())
        return json_answer(await self._customers.change(caller, customer_id, wanted))

    async def delete_customer(self, customer_id: str) -> QuartResponse:
        """Delete one without tenants."""
        caller = await self._operator()
        query()
        await self._customers.delete(caller, known_id("customer", customer_id))
        return no_content()

    async def _operator(self) -> Operator:
        return await self._callers.operator(headers())
