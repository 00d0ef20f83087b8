"""The inputs of a command: files, globs, directories, URLs, stdin and lists of these."""

import fnmatch
import glob
import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

STDIN = "-"
OBJECTS = ("s3://", "gs://")
"""How addresses of objects, and of what they have in common, begin; --ray alone takes them."""
IMAGES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
DOCUMENTS = IMAGES | {".pdf"}


@dataclass(frozen=True, slots=True)
class Item:
    """One input.

    Attributes:
        path: as it was given or found. Bytes of a file name that are no UTF-8 are surrogates, as `os.fsdecode` makes.
        root: the directory that was named on the command line, if the file was found below one.
        error: why it cannot be an input; None for one that can be tried.
        stamp: of an object of a store, its size and time.
    """

    path: str
    root: str = ""
    error: str | None = None
    stamp: str = ""

    @property
    def is_url(self) -> bool:
        return self.path.lower().startswith(("http://", "https://"))

    @property
    def is_object(self) -> bool:
        return self.path.lower().startswith(OBJECTS)

    @property
    def is_file(self) -> bool:
        return not self.is_url and not self.is_object and self.path != STDIN

    @property
    def relative(self) -> str:
        """The path below the directory that was named; else the name of the file."""
        return os.path.relpath(self.path, self.root) if self.root else os.path.basename(self.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds inputs.

    Attributes:
        suffixes: of the files that are taken from directories. A file that is named is taken whatever its suffix.
        recursive: whether to look into directories.
        include, exclude: patterns as of `fnmatch`, for the path below the directory or for the name.
        follow: whether to follow symbolic links below directories.
        shard: which part of how many; (3, 8) is the third of eight.
        is_result: says of a path whether this program has written the file. Results below directories are no inputs.
    """

    suffixes: frozenset[str] = IMAGES
    recursive: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    follow: bool = False
    shard: tuple[int, int] = field(default=(1, 1))
    is_result: Callable[[str], bool] = lambda path: False

    def find(self, paths: Iterable[str]) -> Iterator[Item]:
        """Yield the inputs of some arguments in their order; what is below a directory in that of the names."""
        for path in paths:
            yield from filter(self.takes, self._argument(path))

    def takes(self, item: Item) -> bool:
        """True when an input is in this shard, and neither the patterns nor `is_result` leave it out."""
        name, relative = os.path.basename(item.path), item.relative
        if self.include and not _matches(self.include, name, relative):
            return False
        if _matches(self.exclude, name, relative):
            return False
        if item.root and self.is_result(item.path):
            return False
        number, count = self.shard
        digest = hashlib.sha256(os.fsencode(relative if item.root else item.path)).digest()
        return int.from_bytes(digest[:8], "big") % count == number - 1

    def below(self, root: str) -> Iterator[Item]:
        """Yield the files below a directory, without those whose names begin with a dot."""
        return self._walk(root, root, ())

    def wants(self, name: str) -> bool:
        """True for the name of a file that is taken from a directory."""
        return not name.startswith(".") and os.path.splitext(name)[1].lower() in self.suffixes

    def _argument(self, path: str) -> Iterator[Item]:
        if (item := Item(path)).is_object:
            yield Item(path, error="is in a store of objects: --ray takes it")
        elif not item.is_file or os.path.isfile(path):
            yield item
        elif os.path.isdir(path):
            if self.recursive:
                yield from self.below(path)
            else:
                yield Item(path, error="is a directory: -r looks into it")
        elif glob.has_magic(path) and (found := sorted(glob.glob(path, recursive=True))):
            yield from (Item(each) for each in found if os.path.isfile(each))
        elif os.path.lexists(path) and not os.path.islink(path):
            # A pipe, such as of <(command).
            yield item
        else:
            yield Item(path, error="there is no such file")

    def _walk(self, root: str, directory: str, above: tuple[tuple[int, int], ...]) -> Iterator[Item]:
        try:
            there = os.stat(directory)
            if (here := (there.st_dev, there.st_ino)) in above:
                # A symbolic link to a directory that this one is in.
                return
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield Item(directory, root, f"cannot be listed ({error.strerror})")
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=self.follow):
                yield from self._walk(root, entry.path, (*above, here))
            elif self.wants(entry.name) and entry.is_file(follow_symlinks=self.follow):
                yield Item(entry.path, root)


def listed(source: str, null: bool) -> Iterator[str]:
    """Yield the paths of a list, one on a line, or with NUL after each; `-` is stdin. Empty lines do not count.

    Raises:
        OSError: the list cannot be read.
    """
    end = b"\0" if null else b"\n"
    stream = sys.stdin.buffer if source == STDIN else open(source, "rb")  # noqa: SIM115
    with stream:
        rest = b""
        while piece := os.read(stream.fileno(), 65_536):
            *whole, rest = (rest + piece).split(end)
            yield from map(os.fsdecode, filter(None, whole))
        if rest:
            yield os.fsdecode(rest)


class Unsteady(OSError):
    """A file that changes while it is read."""


def read(path: str, most: int) -> bytes:
    """Read a file, `-` for stdin.

    Raises:
        Unsteady: it changes meanwhile.
        OSError: it cannot be read, or has more than `most` bytes.
    """
    if path == STDIN:
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > most:
            raise OSError(f"larger than {most / 1e6:g} megabytes: see --max-mb")
        data = file.read(most + 1)
        after = os.fstat(file.fileno())
    regular = stat.S_ISREG(before.st_mode)
    if regular and (len(data), after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Unsteady("changes while it is read: try again when it is complete")
    return data


def _matches(patterns: Sequence[str], name: str, relative: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(relative, pattern) for pattern in patterns)
