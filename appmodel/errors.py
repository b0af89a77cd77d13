"""Every error that we raise on purpose. Anything else is a bug.

    PushError                 65535  500
      ConfigError                         a setting is unknown or wrong; the process does not start
      BadInput                65534  422  a field of a request is missing or wrong; nothing was changed
      TooLarge                65534  413  a body, frame or list is over its limit
        TooManyNames          65532  413  a push to more names than one call may have
      NotFound                65531  404  there is nothing of that name, or not for this caller
      RemoteProtocolError     65534  400  a peer broke its protocol; its connection cannot be saved
      Unauthorized            65533  401  no credential, or one that is wrong, expired or revoked
        LoginRefused          65539  401  a login name or password that is wrong
      Forbidden               65533  403  a good credential that does not allow this
        NotMember             65538  403  a message to a group from somebody who is not in it
      Conflict                65534  409  a name that is taken, an idempotency key used for another push
      LimitReached            65535  429  a limit of connections or of calls
        CallQuota             65536  429  the tenant has no calls left
        PushQuota             65537  429  the tenant has no pushes left
      NoNode                   1001  503  no live node for this key
      NotOwner                 1001  503  another node owns the key: look it up again
      Unavailable             65535  503  a node or store is away; nothing was done
        NotStored             65535  503  the store refused: the push is nowhere
      OutcomeUnknown          65535  504  the deadline passed; it may or may not have happened

Each class carries the REST `ret` that it answers with (codes of appmsgsrv app/ret.go), its HTTP
status under /v2, and a `code` that names it between nodes and in problem documents.
"""

from typing import Any, ClassVar, Self


class PushError(Exception):
    """Root of the tree. The message is written for the caller and names the value that was wrong."""

    ret: ClassVar[int] = 65535
    status: int = 500  # a class may give it to each instance
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    _by_code: ClassVar[dict[str, type["PushError"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:  # a subclass without one of its own travels as its parent
            PushError._by_code[cls.code] = cls

    @classmethod
    def with_message(cls, message: str) -> Self:
        """An error of this class from its text alone, as it arrives from another node."""
        error = cls.__new__(cls)
        Exception.__init__(error, message)
        return error

    @staticmethod
    def from_wire(code: str, message: str) -> "PushError":
        """The error that a peer raised. A code of a newer version becomes a plain PushError."""
        return PushError._by_code.get(code, PushError).with_message(message)


class ConfigError(PushError):
    """A setting is unknown or has a wrong value. Raised at start only."""

    code = "config"
    title = "Bad configuration"

    def __init__(self, path: str, value: object, expected: str) -> None:
        super().__init__(f"{path} = {value!r}: {expected}")
        self.path, self.value, self.expected = path, value, expected


class BadInput(PushError):
    """A field of a request is missing or wrong. Nothing was changed."""

    ret = 65534
    status = 422
    code = "bad_input"
    title = "Bad input"

    field: str | None = None

    def __init__(self, field: str, value: object, expected: str) -> None:
        try:
            shown = repr(value)
        except RecursionError:  # of somebody's JSON
            shown = f"a {type(value).__name__} that is nested too deeply"
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"{field}: got {shown}, expected {expected}")
        self.field, self.value, self.expected = field, value, expected


class TooLarge(PushError):
    """Something is over its size limit."""

    ret = 65534
    status = 413
    code = "too_large"
    title = "Too large"


class TooManyNames(TooLarge):
    """A push to more names than one call may have."""

    ret = 65532
    code = "too_many_names"
    title = "Too many names"


class NotFound(PushError):
    """There is nothing of that name, or not for this caller: nobody learns which."""

    ret = 65531
    status = 404
    code = "not_found"
    title = "Not found"


class RemoteProtocolError(PushError):
    """The peer broke the protocol. Its connection cannot be saved; the node is fine."""

    ret = 65534
    status = 400
    code = "protocol"
    title = "Protocol error"


class Unauthorized(PushError):
    """No credential, or one that is wrong, expired or revoked."""

    ret = 65533
    status = 401
    code = "unauthorized"
    title = "Unauthorized"


class LoginRefused(Unauthorized):
    """A login name or password that is wrong: nobody learns which."""

    ret = 65539
    code = "login"
    title = "Login refused"


class Forbidden(PushError):
    """The credential is good and does not allow this."""

    ret = 65533
    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotMember(Forbidden):
    """A message to a group from somebody who is not in it."""

    ret = 65538
    code = "not_member"
    title = "Not a member"


class Conflict(PushError):
    """What is asked for contradicts what there is: a name that is taken, an idempotency key used before."""

    ret = 65534
    status = 409
    code = "conflict"
    title = "Conflict"


class LimitReached(PushError):
    """A limit of connections, calls or memory. Come back later."""

    status = 429
    code = "limit"
    title = "Limit reached"

    pause: int = 1  # seconds, after which it is worth another try

    def __init__(self, message: str, *, pause: int = pause) -> None:
        super().__init__(message)
        self.pause = pause


class CallQuota(LimitReached):
    """The tenant has no calls of this kind left."""

    ret = 65536
    code = "call_quota"
    title = "Call quota used up"


class PushQuota(LimitReached):
    """The tenant has no pushes left."""

    ret = 65537
    code = "push_quota"
    title = "Push quota used up"


class NoNode(PushError):
    """No live node serves this key, or this protocol."""

    ret = 1001
    status = 503
    code = "no_node"
    title = "No node"


class NotOwner(PushError):
    """Another node owns the key: the ring moved. Look it up again, do not retry here."""

    ret = 1001
    status = 503
    code = "not_owner"
    title = "Not the owner"

    def __init__(self, key: object, owner: str | None) -> None:
        super().__init__(f"key {str(key)!r} belongs to {owner or 'no live node'}")


class Unavailable(PushError):
    """A node or a store is away. Nothing was done; try again."""

    status = 503
    code = "unavailable"
    title = "Unavailable"


class NotStored(Unavailable):
    """The store did not take the message: it is nowhere, and nobody has seen it."""

    code = "not_stored"
    title = "Not stored"


class OutcomeUnknown(PushError):
    """The deadline passed before the answer: it may have happened. A retry with the same push id is safe."""

    status = 504
    code = "unknown_outcome"
    title = "Outcome unknown"
