"""Metadata written into pictures and into sidecars that others have begun, by exiftool."""

import contextlib
import hashlib
import html
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.cli import atomic
from app.cli.exits import NoOutput
from app.cli.formats import FILES, Result
from app.cli.inputs import Item
from app.cli.journal import Journal
from app.cli.outputs import Files, IfExists, ItemFailed, Need, unwritten
from app.cli.tasks import Task
from app.cli.xmp import Words

BACKUP = "_original"
"""What the name of the copy of an original ends with: exiftool's own convention."""
_WITH_IPTC = ("JPEG", "MPO", "TIFF")
_MISSING = (
    "metadata is written by exiftool, which is not installed: apt install libimage-exiftool-perl, "
    "brew install exiftool, or https://exiftool.org; XMP sidecars (--sidecar xmp) need none"
)
_CAPTIONS = ("XMP-dc:Description", "IPTC:Caption-Abstract", "EXIF:ImageDescription")
_READ = {"alt": ("XMP-iptcCore:AltTextAccessibility",), "tags": ("XMP-dc:Subject", "IPTC:Keywords")}
"""Which tags a command fills; others fill _CAPTIONS."""


class ExifTool:
    """A process of exiftool, which threads may share."""

    def __init__(self) -> None:
        """Raises:
        NoOutput: it is not installed.
        """
        import exiftool

        if shutil.which("exiftool") is None:
            raise NoOutput(_MISSING)
        self._lock = threading.Lock()
        self._process = exiftool.ExifTool(common_args=["-q", "-q"], encoding="utf-8")

    def run(self, arguments: Sequence[str], path: Path) -> str:
        """Return what exiftool says of a file.

        Raises:
            ItemFailed: exiftool refuses.
        """
        with self._lock, _on_one_line(path) as name:
            if not self._process.running:
                self._process.run()
            said: str = self._process.execute(*arguments, name)
            if self._process.last_status:
                why = self._process.last_stderr.strip().removeprefix("Error: ").partition(" - ")[0]
                raise ItemFailed(f"its metadata cannot be handled by exiftool ({why})")
            return said

    def has(self, task: Task, path: str) -> bool:
        """True when a file has what a command would write."""
        tags = [f"-{tag}" for tag in _READ.get(task.name, _CAPTIONS)]
        return bool(self.run(["-s3", *tags], Path(path)).strip())

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process.running:
                self._process.terminate()

    def add(self, words: Words, path: Path, iptc: bool) -> None:
        """Write words into a file, which is changed in place.

        Raises:
            ItemFailed: exiftool refuses.
        """
        change = "-overwrite_original_in_place"
        there = self.run(["-s2", "-IPTC:all"], path) if iptc else ""
        if there and "CodedCharacterSet: UTF8" not in there:
            # What is there in another encoding is written again in UTF-8.
            self.run([change, "-tagsfromfile", "@", "-IPTC:all", "-IPTC:CodedCharacterSet=UTF8"], path)
        self.run([change, "-E", *_assignments(words, iptc)], path)


def _assignments(words: Words, iptc: bool) -> list[str]:
    """Return exiftool's arguments. Keywords are added to those that are there, each once."""
    arguments = []
    if iptc:
        arguments.append("-IPTC:CodedCharacterSet=UTF8")
    for name, text in (("XMP-dc:Description", words.description), ("XMP-iptcCore:AltTextAccessibility", words.alt)):
        if text:
            arguments.append(f"-{name}-x-default={_value(text)}")
    if iptc and words.description:
        arguments.append(f"-IPTC:Caption-Abstract={_value(words.description)}")
    for keyword in words.keywords:
        for name in ("XMP-dc:Subject", *(("IPTC:Keywords",) if iptc else ())):
            arguments += [f"-{name}-={_value(keyword)}", f"-{name}+={_value(keyword)}"]
    return arguments


def _value(text: str) -> str:
    """Return a text as HTML, which -E undoes: arguments are lines, and captions may have several."""
    return html.escape(text, quote=False).replace("\n", "&#xa;")


@contextmanager
def _on_one_line(path: Path) -> Iterator[bytes]:
    """Yield the path of a file without line breaks: arguments are lines."""
    if "\n" not in str(path) and "\r" not in str(path):
        yield os.fsencode(path.absolute())
        return
    with tempfile.TemporaryDirectory() as directory:
        link = Path(directory) / "picture"
        link.symlink_to(path.absolute())
        yield os.fsencode(link)


class Metadata:
    """Descriptions and keywords written into the files themselves. The pixels are not touched."""

    def __init__(self, exiftool: ExifTool, journal: Journal, task: Task, if_exists: IfExists, backup: bool) -> None:
        self._exiftool = exiftool
        self._journal = journal
        self._task = task
        self._if_exists = if_exists
        self._backup = backup

    def need(self, item: Item, key: str | None) -> Need:
        if not item.is_file:
            raise ItemFailed("has no file to write metadata into")
        if key is None:
            return Need.WANTED
        if self._journal.delivery("metadata", item.path, key) is not None:
            return Need.DELIVERED
        if self._if_exists != "overwrite" and self._exiftool.has(self._task, item.path):
            if self._is_own(item):
                return Need.WANTED
            if self._if_exists == "fail":
                raise ItemFailed("has such metadata: see --if-exists")
            return Need.EXISTS
        return Need.WANTED

    def put(self, result: Result) -> None:
        path = Path(result.item.path)
        image = result.answer.image
        try:
            # Behind a symbolic link, the file itself is written.
            path = path.resolve(strict=True)
            with atomic.replacing(path) as temporary:
                shutil.copy2(path, temporary)
                words = Words.of(self._task, result.answer)
                self._exiftool.add(words, temporary, image is not None and image.format in _WITH_IPTC)
                shutil.copystat(path, temporary)
                if self._backup:
                    _keep(path)
                digest = _sha256(temporary)
        except OSError as error:
            raise unwritten(path, error) from error
        # The same picture in other bytes: it need not be looked at again.
        original = image.sha256 if image else digest
        self._journal.remember_rewritten(digest, self._journal.original_of(original))
        now = path.stat()
        self._journal.remember_file(result.item.path, now.st_size, now.st_mtime_ns, self._journal.original_of(digest))
        self._journal.remember_target("metadata", result.item.path, result.key, result.item.path, digest)

    def finish(self) -> None:
        self._exiftool.close()

    def _is_own(self, item: Item) -> bool:
        """True when this program has written the metadata, and nobody has changed the file since."""
        known = self._journal.writer_of(item.path)
        return known is not None and known[1] == _sha256(Path(item.path))


class XmpSidecars(Files):
    """XMP files beside the pictures. One that another program has begun keeps what it has: exiftool adds to it."""

    exiftool: ExifTool | None = None

    def __init__(self, name: str, target: Any, journal: Journal, task: Task, if_exists: IfExists) -> None:
        super().__init__(name, target, FILES["xmp"][1], journal, task, if_exists)

    def put(self, result: Result) -> None:
        target = self._target(result.item)
        if not os.path.lexists(target):
            super().put(result)
            return
        self.exiftool = self.exiftool or ExifTool()
        try:
            with atomic.replacing(target) as temporary:
                shutil.copy2(target, temporary)
                self.exiftool.add(Words.of(self._task, result.answer), temporary, iptc=False)
        except OSError as error:
            raise unwritten(target, error) from error
        name = str(target.absolute())
        self._journal.remember_target(self._name, result.item.path, result.key, name, _sha256(target))

    def finish(self) -> None:
        if self.exiftool is not None:
            self.exiftool.close()


def _keep(path: Path) -> None:
    """Keep the original beside the file. One that is there is the older one, and stays."""
    backup = path.with_name(path.name + BACKUP)
    with contextlib.suppress(FileExistsError):
        try:
            os.link(path, backup)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links.
            if not backup.exists():
                shutil.copy2(path, backup)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
