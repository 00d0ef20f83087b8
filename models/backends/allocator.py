"""Returns freed memory to the operating system: from Python, torch's CUDA cache and glibc's malloc."""

import ctypes
import gc
import sys
from typing import Any

# The options of mallopt in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD = 8 * 2**20
"""Bytes. Larger blocks go back when they are freed; networks mostly reuse smaller ones."""
_ARENAS = 8


def configure() -> None:
    """Make glibc return large blocks as soon as they are freed. By default it adapts: it keeps blocks of up to 32 MB
    once one of their size was freed, in each of its arenas, of which there are eight for each core."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD)
        mallopt(_M_ARENA_MAX, _ARENAS)


def release() -> None:
    """Return all memory that is not in use."""
    # Networks contain reference cycles.
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    trim()


def trim() -> None:
    """Return the pages of memory that are free in between what is in use. It takes some milliseconds."""
    # musl has no malloc_trim, and does not need it.
    if sys.platform == "linux" and (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        malloc_trim(0)
