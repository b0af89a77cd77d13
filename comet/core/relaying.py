"""Which comet a session of Engine.IO lives on: its id says so.

    sid    <20 random characters>.<tag>      the tag names one start of one comet

A tag is a digest: it tells strangers no name, a restarted comet and a standby of the same name have
others, and it proves nothing. The random part is what nobody can guess.
"""

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b

from appmodel.core.cluster import ClusterView, Node, Role

TAG = 6  # bytes: 8 characters


@lru_cache(maxsize=1024)  # asked with every handshake
def process_tag(node: Node) -> str:
    """The tag of this start of that comet."""
    text = f"{node.name} {node.incarnation}".encode()
    return urlsafe_b64encode(blake2b(text, digest_size=TAG).digest()).decode()


def home_of(sid: str, view: ClusterView, me: Node) -> Node | None:
    """The comet that gave this session id; None if that is us, or no comet that is alive."""
    _, dot, tag = sid.rpartition(".")
    if not dot or tag == process_tag(me):
        return None
    for node in view.nodes:
        if node.role is Role.COMET and process_tag(node) == tag:
            return None if node.is_same_process(me) else node
    return None
