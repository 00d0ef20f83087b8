"""Where results go, as `--output`, `--format`, `--sidecar` and `--write-metadata` say it."""

import os
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from app.cli.asked import Asked
from app.cli.formats import BY_EXTENSION, FILES, RENDERED, TABLES, Table, extension, only_text
from app.cli.inputs import Item
from app.cli.journal import IN_DIRECTORY, SUFFIX, Journal
from app.cli.metadata import ExifTool, Metadata, XmpSidecars
from app.cli.outputs import Files, ItemFailed, Output, Rows, Stdout
from app.cli.tasks import Task

_FIELDS = {"dir", "rel", "stem", "name", "ext"}
_SIDECARS = {"txt": "text", "md": "markdown"}
_IN_DIRECTORY = "{rel}/{name}.{ext}"
_RESULTS = "results"
"""The name of a table in a directory of results, without its extension."""


def outputs_for(task: Task, asked: Asked, journal: Journal, several: bool) -> list[Output]:
    """Return the outputs that were asked for; stdout where none was.

    Raises:
        click.UsageError: they make no sense together.
        NoOutput: one cannot be written.
    """
    outputs: list[Output] = []
    if asked.output is not None or asked.format or not (asked.sidecar or asked.write_metadata):
        outputs += [_output(name, task, asked, journal, several) for name in formats_of(asked)]
    for name in asked.sidecar:
        outputs.append(_sidecar(name, task, asked, journal))
    if asked.write_metadata:
        outputs.append(Metadata(ExifTool(), journal, task, asked.if_exists, not asked.no_backup))
    return outputs


def formats_of(asked: Asked) -> tuple[str, ...]:
    """Return the formats of stdout or `--output`: as asked for, as the file ends, or text."""
    if asked.format:
        return asked.format
    output = asked.output or ""
    return (BY_EXTENSION.get(Path(output).suffix.lower(), "text") if not _is_directory(output) else "text",)


def rendered_formats(asked: Asked) -> tuple[str, ...]:
    """Return the formats that the service has to render."""
    sidecars = (_SIDECARS.get(name, name) for name in asked.sidecar)
    wanted = (*formats_of(asked), *sidecars) if asked.output or asked.format else tuple(sidecars)
    return tuple(name for name in dict.fromkeys(wanted) if name in RENDERED)


def journal_path(asked: Asked) -> Path | None:
    """Return the file of the journal: as named, beside the output, or in the directory of the inputs. None where
    results go to stdout alone."""
    if asked.journal is not None:
        return Path(asked.journal)
    output = asked.output
    if output is not None and "{" not in output:
        return Path(output, IN_DIRECTORY) if _is_directory(output) else Path(output + SUFFIX)
    if output is not None or asked.sidecar or asked.write_metadata:
        directories = (path for path in (*asked.paths, *asked.watch) if os.path.isdir(path))
        return Path(next(directories, "."), IN_DIRECTORY)
    return None


def _output(name: str, task: Task, asked: Asked, journal: Journal, several: bool) -> Output:
    output = asked.output
    if output is None:
        if len(formats_of(asked)) > 1:
            raise click.UsageError("several formats need --output DIR/ or a template")
        if several and name not in TABLES:
            raise click.UsageError(f"{name} of several inputs needs --output DIR/ or a template")
        return Stdout(journal, task, TABLES[name] if several and name in TABLES else _single(name))
    if "{" in output:
        return _files(name, template(output, extension(name)), task, asked, journal)
    if _is_directory(output):
        if name in TABLES and name not in FILES:
            return Rows(Path(output, _RESULTS + extension(name)), journal, task, TABLES[name], asked.if_exists)
        return _files(name, template(f"{output}/{_IN_DIRECTORY}", extension(name)), task, asked, journal)
    if len(formats_of(asked)) > 1:
        raise click.UsageError("several formats need --output DIR/ or a template such as '{dir}/{stem}.{ext}'")
    if name in TABLES and (several or name not in FILES):
        return Rows(Path(output), journal, task, TABLES[name], asked.if_exists)
    if several:
        raise click.UsageError(f"{name} of several inputs needs --output DIR/ or a template such as '{{stem}}.{{ext}}'")
    return _files(name, lambda item: Path(output), task, asked, journal)


def _single(name: str) -> Table:
    """Return a table for one input, whose text, or file, stands alone."""
    return Table(FILES[name][1]) if name in FILES else TABLES[name]


def _files(name: str, target: Callable[[Item], Path], task: Task, asked: Asked, journal: Journal) -> Files:
    key = f"{name} {asked.output or 'sidecar'}"
    write = FILES[name][1] if name in FILES else TABLES[name].row
    return Files(key, target, write, journal, task, asked.if_exists)


def _sidecar(name: str, task: Task, asked: Asked, journal: Journal) -> Output:
    known = f"sidecar {name}"
    if name in ("xmp", "xmp-adobe"):
        place = "{dir}/{stem}.xmp" if name == "xmp-adobe" else "{dir}/{name}.xmp"
        return XmpSidecars(known, _beside(template(place, "xmp")), journal, task, asked.if_exists)
    format = _SIDECARS.get(name, name)
    target = _beside(template(f"{{dir}}/{{name}}{extension(format)}", ""))
    write = only_text if format == "text" else FILES[format][1]
    return Files(known, target, write, journal, task, asked.if_exists)


def _beside(target: Callable[[Item], Path]) -> Callable[[Item], Path]:
    def of(item: Item) -> Path:
        if not item.is_file:
            raise ItemFailed("a sidecar lies beside a file, and this is none: use --output")
        return target(item)

    return of


def template(text: str, ext: str) -> Callable[[Item], Path]:
    """Return what makes the path of an output from an input.

    Args:
        text: with fields in braces: `dir`, the directory of the input; `rel`, the same below the one that was named;
            `name` and `stem`, with and without its extension; `ext`, that of the output.
        ext: of the output.

    Raises:
        click.UsageError: it has other fields.
    """
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise click.UsageError(f"--output: {error}") from error
    if unknown := names - _FIELDS:
        raise click.UsageError(f"--output: there is no {{{unknown.pop()}}}; there are {', '.join(sorted(_FIELDS))}")

    def target(item: Item) -> Path:
        path = unquote(urlsplit(item.path).path) if item.is_url else item.path
        name = os.path.basename(path.rstrip("/")) or "index"
        fields = {
            "dir": os.path.dirname(path) or "." if item.is_file else ".",
            "rel": os.path.dirname(item.relative) or "." if item.root else ".",
            "name": "stdin" if name == "-" else name,
            "stem": "stdin" if name == "-" else os.path.splitext(name)[0],
            "ext": ext.removeprefix("."),
        }
        return Path(text.format_map(fields))

    return target


def _is_directory(output: str) -> bool:
    return output.endswith(("/", os.sep)) or os.path.isdir(output)
