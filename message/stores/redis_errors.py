"""What Redis says when it cannot serve, and what an operator may do about it.

    nothing was done     the reply is an error: Redis refuses a command, or a script before its first write
    elsewhere            another server has the data now, or this one will in a moment: look again
    in doubt             the connection was lost, or silent, after a command had gone out

Source: redis.io/docs, "Errors" of each command; server 7.0 `src/server.c: processCommand`.
"""

import redis

ADVICE = {
    "OOM": "its memory is full: raise maxmemory, or keep less (message.depth, shorter ttl)",
    "READONLY": "a replica, which takes no writes: name the master in message.redis.addresses",
    "LOADING": "it is still reading its data from the disk",
    "MASTERDOWN": "a replica that has lost its master",
    "MISCONF": "it cannot write to its disk, and refuses writes until it can",
    "NOREPLICAS": "fewer replicas are connected than min-replicas-to-write asks for",
    "NOAUTH": "it asks for a password: set message.redis.password",
    "WRONGPASS": "message.redis.username or message.redis.password is wrong",
    "NOPERM": "the ACL user may not do this; it needs ~{<prefix>:* +@read +@write +@scripting, "
    "and +cluster|slots in a Cluster, +wait with replicas, +select with a database, %R~* for original",
    "CLUSTERDOWN": "the Cluster does not serve this slot now",
    "TRYAGAIN": "the slot is being moved to another node",
    "ASK": "the slot is being moved to another node",
    "MOVED": "the slot has moved to another node",
    "BUSY": "a script of somebody keeps it busy",
    "CROSSSLOT": 'it is a Cluster: set message.redis.mode = "cluster"',
}
ELSEWHERE = frozenset(
    {"LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK", "MOVED", "NOREPLICAS"}
)
REFUSED = frozenset(ADVICE) - {"NOPERM"}  # NOPERM may come in the middle of a script
SETTINGS = {  # refusals that stay until somebody changes a setting
    "NOAUTH": "password",
    "WRONGPASS": "password",
    "NOPERM": "username",
    "CROSSSLOT": "mode",
}


class WrongLayout(redis.RedisError):
    """What lies there was made with another number of buckets, or by a newer version."""


def code_of(error: redis.RedisError) -> str:
    """The first word of an error reply, such as "OOM"; "" if it is no reply."""
    code = getattr(error, "status_code", None)
    if code:
        return str(code)
    word = str(error).partition(" ")[0]
    return word if word.isupper() and word.isalpha() else ""


def setting_to_blame(error: BaseException) -> str | None:
    """The key of [message.redis] that is wrong, if waiting will not help."""
    if isinstance(error, WrongLayout):
        return "buckets"
    return SETTINGS.get(code_of(error)) if isinstance(error, redis.RedisError) else None


def explain(error: BaseException) -> str:
    """One sentence for the log and for callers. Shows no secret."""
    if isinstance(error, redis.RedisError):
        code = code_of(error)
        if code in ADVICE:
            return f"{code}: {ADVICE[code]}"
    if isinstance(error, redis.TimeoutError):
        return "no answer in time"
    text = str(error) or type(error).__name__
    return text[:200]
