"""What can go wrong for good. A lost connection is no error: the subscription comes back by itself.

ClientError
  Refused           the comet or web will not serve this subscription: change it, then try anew
  PushFailed        web did not take a push
"""


class ClientError(Exception):
    """Root of what this package raises on purpose."""


class Refused(ClientError):
    """This subscription is not served as it stands; coming back unchanged would not help.

    4400 a wrong parameter, 4401 the ticket is bad or expired, 4402 it was revoked, 4409 too many
    connections of this key. The table is in docs/protocol.md.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"refused with {code}: {reason or 'no reason given'}")
        self.code, self.reason = code, reason


class PushFailed(ClientError):
    """Web did not take a push. `status` is the HTTP status, 0 if there was no answer at all.

    With status 0, 502 or 504 it may have happened all the same: retry with the same idempotency key.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"push failed with HTTP status {status}: {reason}" if status else reason)
        self.status, self.reason = status, reason
