"""`i2t search`: in the captions, words and tags that journals hold."""

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from app.cli.exits import Exit
from app.cli.journal import SUFFIX, Journal


def search(words: Sequence[str], journals: Sequence[str], null: bool, texts: bool, is_query: bool) -> int:
    """Print the paths of the files of which all the words were said, the best first.

    Args:
        words: what to look for.
        journals: files, or directories in which journals lie.
        null: whether to end paths with NUL instead of a newline.
        texts: whether to print what was said, too.
        is_query: whether the words are a query of FTS5, with AND, OR, NOT, NEAR and prefixes*.

    Raises:
        click.UsageError: there is no journal, or no such query.
    """
    query = " ".join(words) if is_query else " ".join('"{}"'.format(word.replace('"', '""')) for word in words)
    seen: dict[str, str] = {}
    for path in _journals(journals):
        journal = Journal(path, reading=True)
        try:
            for found, text, tags in journal.search(query):
                seen.setdefault(found, text or tags)
        except sqlite3.Error as error:
            raise click.UsageError(f"{query}: {error}") from error
        finally:
            journal.close()
    for found, text in seen.items():
        if "://" not in found and not os.path.lexists(found):
            continue
        line = _shown(found) + (f": {' '.join(text.split())}" if texts else "")
        sys.stdout.buffer.write(os.fsencode(line) + (b"\0" if null else b"\n"))
    sys.stdout.buffer.flush()
    return Exit.DONE if seen else Exit.SOME_FAILED


def _journals(named: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, named or (".",)):
        # The journal of an output lies beside it.
        beside = Path(f"{path}{SUFFIX}")
        found += sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [beside if beside.is_file() else path]
    if not found or not all(path.is_file() for path in found):
        raise click.UsageError(f"there is no journal at {', '.join(named) or 'this directory'}: see --journal")
    return found


def _shown(path: str) -> str:
    """Return a path below this directory as a relative one."""
    here = os.path.join(os.getcwd(), "")
    return path.removeprefix(here)
