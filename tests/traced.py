"""Which files an image passes through: those with a called function that takes or returns it."""

import atexit
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
LARGE = 1_000
"""Bytes of which only the image has as many, in a test with short fields."""


def holds_image(value: Any, depth: int = 2) -> bool:
    """Return whether a value is an image, its bytes or its pixels, or a tuple or list with one of them."""
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) >= LARGE
    if depth and isinstance(value, tuple | list):
        return any(holds_image(item, depth - 1) for item in value)
    if type(value).__module__.startswith("PIL."):
        return hasattr(value, "getpixel")
    if type(value).__name__ not in ("ndarray", "Tensor"):
        return False
    return len(value.shape) >= 3 and 3 in (value.shape[-1], value.shape[-3]) and min(value.shape[-3:]) >= 3


class Trace:
    """Notes the files of `app` and `models` that an image passes through, in the order in which they have it first."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self._own = tuple(f"{ROOT / part}/" for part in ("app", "models"))

    def start(self) -> None:
        """Watch this thread, and those that it starts."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def stop(self) -> None:
        """Watch no longer."""
        threading.setprofile(None)
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, value: Any) -> None:
        path = frame.f_code.co_filename
        if event not in ("call", "return") or not path.startswith(self._own):
            return
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        passed = [value] if event == "return" else [frame.f_locals.get(name) for name in names]
        if any(holds_image(each) for each in passed):
            self.files.setdefault(str(Path(path).relative_to(ROOT)))


def start(path: str) -> None:
    """Watch this process, a worker, and write the files into `path` at its end."""
    trace = Trace()
    atexit.register(lambda: Path(path).write_text("\n".join(trace.files), encoding="utf-8"))
    trace.start()
