"""Calls of sessions; see documented.py."""

from functools import partial

from appmodel.core.sessions import Holder, SessionName
from appmodel.orm.people import User
from appmodel.orm.session_queries import write_here
from tests.web.documented import Call
from tests.web.organisations import put
from tests.web.world import World

SESSION = SessionName("s1_iOS-d1", "s1", "iOS", "d1")


async def prepare(world: World) -> None:
    """A user with a session."""
    database = world.context.database
    await put(database, User(id="s1", name="sam", tenant_id=""))
    await database.write(partial(write_here, names=[SESSION], holder=Holder("c1", 1)))


CALLS = [
    Call("GET", "/v2/sessions?user=s1&limit=1"),
    Call("GET", "/v2/sessions?user=s1", user="s1"),
    Call("GET", "/v2/sessions?user=s2", user="s1"),
    Call("GET", "/v2/sessions"),
    Call("PATCH", "/v2/sessions/s1_iOS-d1", b'{"state":"active"}', user="s1"),
    Call("PATCH", "/v2/sessions/s1_iOS-d1", b'{"state":"init"}'),
    Call("PATCH", "/v2/sessions/s2_iOS-d1", b'{"state":"active"}'),
]
