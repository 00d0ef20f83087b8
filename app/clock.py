"""How long the parts of a request take."""

import time


class Clock:
    """Counts milliseconds since it was made, and since the last lap. `started` is in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.started = self._lap = time.monotonic()

    def lap(self) -> int:
        """Return the milliseconds since the last lap, and begin a new one."""
        last, self._lap = self._lap, time.monotonic()
        return round((self._lap - last) * 1000)

    def total(self) -> int:
        """Return the milliseconds since the start."""
        return round((time.monotonic() - self.started) * 1000)
