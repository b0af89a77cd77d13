"""The batch of /v2: users, departments and links, all or nothing. What it takes says web/core/sync.py.

POST /v2/sync     200 {"dry_run":false,"users":{"created":1,...},"departments":{...},"links":{...}}
                  422 {...,"errors":[{"list":"departments","index":3,"field":"parent_id","code","detail"}]}
"""

import msgspec
from quart import Response as QuartResponse

from web.api import openapi_organisation as described
from web.api.v2_frame import Rule, body, headers, json_answer, query
from web.core.fields import known_id
from web.core.problems import problem, problem_headers
from web.core.sync import RowsRefused, SyncAnswer, SyncProblem, SyncRequest, decode_batch
from web.services.callers import Callers
from web.services.syncing import Syncing


class SyncPart:
    """The handler."""

    structs = (SyncRequest, SyncAnswer, SyncProblem)

    def __init__(self, callers: Callers, syncing: Syncing) -> None:
        self._callers = callers
        self._syncing = syncing
        self.rules = (Rule("POST", "/v2/sync", self.sync, described.sync()),)

    async def sync(self) -> QuartResponse:
        """Make a tenant so."""
        caller = await self._callers.principal(headers(), "admin")
        query()
        try:
            batch = decode_batch(await body())
            if batch.tenant_id:
                known_id("tenant_id", batch.tenant_id)
            return json_answer(await self._syncing.sync(caller, batch))
        except RowsRefused as error:
            return _refusal(error)


def _refusal(error: RowsRefused) -> QuartResponse:
    said = SyncProblem(**msgspec.structs.asdict(problem(error)), errors=error.errors)
    response = QuartResponse(msgspec.json.encode(said), status=error.status)
    response.headers.update(problem_headers(error))
    return response
