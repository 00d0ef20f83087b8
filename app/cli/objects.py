"""Inputs in a store of objects, such as s3://bucket/photos: listed here, and read where they are worked on."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from app.cli.inputs import Finder, Item, Unsteady


class Objects:
    """Finds inputs as a Finder does, and lists stores of objects besides."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def find(self, paths: Iterable[str]) -> Iterator[Item]:
        """Yield the inputs of some arguments in their order; what is below a prefix in that of the names."""
        for path in paths:
            if Item(path).is_object:
                yield from filter(self._finder.takes, self._below(path))
            else:
                yield from self._finder.find([path])

    def _below(self, address: str) -> Iterator[Item]:
        from pyarrow.fs import FileSelector, FileType

        scheme = address.partition("://")[0]
        try:
            store, path = _store(address)
            named = store.get_file_info(path)
            if named.type is FileType.File:
                yield _item(scheme, named, "")
                return
            if named.type is FileType.NotFound:
                yield Item(address, error="there is nothing of that name in the store")
                return
            found = store.get_file_info(FileSelector(path, recursive=self._finder.recursive))
        except OSError as error:
            yield Item(address, error=f"cannot be listed ({error})")
            return
        for each in sorted(found, key=lambda info: str(info.path)):
            if each.type is FileType.File and self._finder.wants(each.base_name):
                yield _item(scheme, each, address)


def read(item: Item, most: int) -> bytes:
    """Read an object.

    Raises:
        Unsteady: it is not the one that was listed.
        OSError: it cannot be read, or has more than `most` bytes.
    """
    store, path = _store(item.path)
    if (info := store.get_file_info(path)).size is not None and info.size > most:
        raise OSError(f"larger than {most / 1e6:g} megabytes: see --max-mb")
    if _stamp(info) != item.stamp:
        raise Unsteady("was changed since it was listed: the same command takes it again")
    with store.open_input_stream(path) as stream:
        return bytes(stream.read())


def _item(scheme: str, info: Any, root: str) -> Item:
    return Item(f"{scheme}://{info.path}", root, stamp=_stamp(info))


def _stamp(info: Any) -> str:
    return f"#{info.size}-{info.mtime_ns}"


def _store(address: str) -> tuple[Any, str]:
    """Return the store of an address, which is opened once, and the path in it."""
    scheme, _, path = address.partition("://")
    return _opened(f"{scheme}://{path.partition('/')[0]}"), path.rstrip("/")


@cache
def _opened(bucket: str) -> Any:
    from pyarrow.fs import FileSystem

    store, _ = FileSystem.from_uri(bucket)
    return store
