"""How often a token of Mpush may be guessed: wrong ones are counted by the address that they come from.

    so many in a window            answered at once
    more                           wait for their turn: a WebSocket gets its answer later, HTTP 429
    right before, from there       let in as ever, whatever its neighbours try
    no token at all                no guess: it is refused, and not counted

So a script with an old token does not shut out the others behind one address, and who guesses learns no more than the
pace allows. Known only by digests, bounded, and by each process for itself.

Source: ours; spec/mpush.md 3: a wrong token keeps its connection, "unlimited retries".
"""

import hmac
import secrets
from collections import OrderedDict

from appmodel.core.mpush_tokens import Grant, MpushGate
from appmodel.core.throttle import Throttle
from appmodel.errors import LimitReached, Unauthorized


class TokenTries:
    """Of one listener. `now` counts seconds and does not go back."""

    def __init__(self, gate: MpushGate, throttle: Throttle, *, remembered: int) -> None:
        """`remembered`: right tokens, by address, whose owners need not wait."""
        self.gate, self._throttle, self._most = gate, throttle, remembered
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._salt = secrets.token_bytes(16)
        self.wrong = 0
        self.slowed = 0

    def pause(self, text: str, address: str, now: float) -> float:
        """Seconds until this token may be tried; 0 = at once."""
        if not text or self._digest(text, address) in self._proven:
            return 0.0
        pause = self._throttle.pause(address, now)
        self.slowed += bool(pause)
        return pause

    def grant(self, text: str, address: str, now: float) -> Grant:
        """What the token allows.

        Raises:
            LimitReached: it has to wait; nothing was tried.
            Unauthorized: see `MpushGate.grant`.
        """
        if not text:
            return self.gate.grant(text)
        digest = self._digest(text, address)
        is_proven = digest in self._proven
        if not is_proven:
            self._take(address, now)
        try:
            grant = self.gate.grant(text)
        except Unauthorized:
            self.wrong += 1
            self._proven.pop(digest, None)
            raise
        if not is_proven:
            self._throttle.give_back(address, now)
            self._proven[digest] = None
            if len(self._proven) > self._most:
                self._proven.popitem(last=False)
        return grant

    def _take(self, address: str, now: float) -> None:
        try:
            self._throttle.take(address, now, what="token")
        except LimitReached:
            self.slowed += 1
            raise

    def _digest(self, text: str, address: str) -> bytes:
        said = f"{address} {text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._salt, said, "sha256")
