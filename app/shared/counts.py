"""What clients have in work, counted over all copies."""

import threading
from collections import Counter

from app.shared.state import SharedState

# A hash of the counts of each copy. Those of copies that have ended are removed when they are seen.
_BEGIN = """
local others = 0
local counts = redis.call('HGETALL', KEYS[1])
for i = 1, #counts, 2 do
    if counts[i] ~= ARGV[1] then
        if redis.call('EXISTS', ARGV[4] .. counts[i]) == 1 then
            others = others + tonumber(counts[i + 1])
        else
            redis.call('HDEL', KEYS[1], counts[i])
        end
    end
end
if others + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], 86400)
return 1
"""


class Counts:
    """Counts things in work by their client, over all copies where there is a state that they share.

    Args:
        kind: of things, such as `requests`.
        state: what the copies share; None for this one alone.
    """

    def __init__(self, kind: str, state: SharedState | None) -> None:
        self.kind = kind
        self._state = state
        self._begin = state.script(_BEGIN) if state else None
        self._lock = threading.Lock()
        self._here: Counter[str] = Counter()
        if state is not None:
            state.live()

    def begin(self, client: str, most: int) -> bool:
        """Count one more, unless the client has `most` in work. Return whether it was counted."""
        with self._lock:
            counted = self._here[client] + 1
            if counted > most or not self._fits(client, counted, most):
                return False
            self._here[client] = counted
            return True

    def end(self, client: str) -> None:
        """Count one less."""
        with self._lock:
            self._here[client] -= 1
            if self._here[client]:
                self._tell(client, self._here[client])
            else:
                # Forget a client that has nothing in work.
                del self._here[client]
                self._tell(client, 0)

    def _fits(self, client: str, counted: int, most: int) -> bool:
        """Return whether the client may have so many in work here, with those at other copies. It is said to them under
        the lock: a later number must not be replaced by an earlier one."""
        if self._state is None or self._begin is None:
            return True
        state, begin = self._state, self._begin
        values = [state.copy, counted, most, state.key("copy", "")]
        return bool(state.ask(lambda _: begin([self._name(client)], values), 1))

    def _tell(self, client: str, counted: int) -> None:
        if (state := self._state) is None:
            return
        name = self._name(client)
        if counted:
            state.ask(lambda redis: redis.hset(name, state.copy, str(counted)), 0)
        else:
            state.ask(lambda redis: redis.hdel(name, state.copy), 0)

    def _name(self, client: str) -> str:
        return (self._state and self._state.key("in-work", self.kind, client)) or ""
