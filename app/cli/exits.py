"""How a command ends: its exit statuses, and the errors that stand for them."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit status of a command."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_MODEL = 3
    NO_OUTPUT = 4
    NOTHING_TO_DO = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """What ends a command at once. The message says what to do."""

    status = Exit.SOME_FAILED


class NoModel(CommandError):
    """The model cannot be had: unknown to the hub, no network, not enough memory, or no server."""

    status = Exit.NO_MODEL


class NoOutput(CommandError):
    """Results cannot be written: a full disk, a directory without permission, a file that is in the way."""

    status = Exit.NO_OUTPUT


class ReaderGone(Exception):
    """Whoever read stdout has closed it, as `head` does."""
