"""The other side: a process that decodes one file after another, within its limits, until the service is gone."""

import contextlib
import ctypes
import resource
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin, Image

from app.decoding import images, pdf
from app.decoding.protocol import Header, receive, send
from app.errors import InvalidImage, UnsupportedMedia

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""As malloc.h of glibc has them."""
_LARGEST, _KEPT = 32 * 2**20, 128 * 2**20
"""Bytes of a block that glibc may keep, which takes no more for that, and of all that it may keep."""
_PAUSE = 5.0
"""Seconds without a file after which nothing is kept any more."""

# As many as libheif takes. By itself libaom takes one for each core, whose stacks count as memory.
AvifImagePlugin.DEFAULT_MAX_THREADS = 4


def main(seconds: float, memory: int) -> None:
    """Answer what comes from the socket at standard input, each file in so many seconds of processor time.

    Memory counts as addresses, for the whole process. macOS does not hold a process to that: there only the time is
    limited, and the pixels.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # A core would be a copy of the file on the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        # Where memory runs out all the same, Linux ends this process, not the service.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _keep_memory()
    service = socket.socket(fileno=0)
    with contextlib.suppress(EOFError, ConnectionError):
        send(service, {"ready": True})
        while True:
            if not select.select([service], [], [], _PAUSE)[0]:
                _give_back()
            header, data = receive(service, memory)
            # Unlike RLIMIT_CPU it can be wound up again. No handler: what hangs in C would not let one run.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            send(service, *_answer(header, bytes(data)))
            signal.setitimer(signal.ITIMER_PROF, 0)


def _keep_memory() -> None:
    """Have glibc keep what one file took for the next. To ask the kernel for it anew takes a third of the time that a
    photo takes, or more."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def _give_back() -> None:
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _answer(header: Header, data: bytes) -> tuple[Header, bytes]:
    try:
        facts, image = TASKS[header["task"]](data, **header["arguments"])
        return {"facts": facts, "size": image.size if image else None}, image.tobytes() if image else b""
    except (InvalidImage, UnsupportedMedia) as error:
        return {"error": type(error).__name__, "detail": error.detail}, b""
    except MemoryError:
        return {"error": "InvalidImage", "detail": "the file takes more memory to decode than there is"}, b""


def _image(data: bytes, **arguments: Any) -> tuple[dict[str, Any], Image.Image]:
    decoded = images.decode(data, **arguments)
    facts = {"format": decoded.format, "frames": decoded.frames, "size": decoded.size, "warnings": decoded.warnings}
    return facts, decoded.image


def _pdf(data: bytes) -> tuple[dict[str, Any], None]:
    return {"sizes": pdf.sizes(data)}, None


def _pdf_page(data: bytes, **arguments: Any) -> tuple[dict[str, Any], Image.Image]:
    return {}, pdf.render(data, **arguments)


TASKS: dict[str, Callable[..., tuple[dict[str, Any], Image.Image | None]]] = {
    "image": _image,
    "pdf": _pdf,
    "pdf_page": _pdf_page,
}
