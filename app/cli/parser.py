"""The options that `caption`, `read`, `tags`, `alt` and `run` share. Imports nothing but click."""

import re
from collections.abc import Callable
from typing import Any

import click

FORMATS = ("text", "jsonl", "json", "csv", "tsv", "hocr", "alto", "markdown", "pdf", "words-tsv")
SIDECARS = ("txt", "json", "xmp", "xmp-adobe", "hocr", "alto", "md", "pdf")
EXIT_STATUSES = """\b
Exit status:
    0  all done, or whoever reads stdout has closed it
    1  some inputs failed; each is a line on stderr
    2  the command line makes no sense
    3  the model cannot be had
    4  the output cannot be written
    5  there was nothing to do
  130  interrupted; the same command goes on"""

Command = Callable[..., Any]


class Names(click.ParamType[Any]):
    """One or several names of a set, with commas between them."""

    name = "name[,name…]"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = [part.strip() for part in value.split(",")]
        if unknown := [name for name in names if name not in self.known]:
            self.fail(f"{unknown[0]!r} is none of {', '.join(self.known)}", param, ctx)
        return names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in self.known if name.startswith(incomplete)]


class Shard(click.ParamType[Any]):
    """`3/8`: which part of how many."""

    name = "n/m"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", value)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no part such as 3/8", param, ctx)
        return int(found[1]), int(found[2])


def _flat(_context: click.Context, _parameter: click.Parameter, value: tuple[list[str], ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in value for name in names))


def _length(_context: click.Context, _parameter: click.Parameter, times: int) -> str | None:
    return (None, "detailed", "full")[min(times, 2)]


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


inputs = _together(
    click.argument("paths", nargs=-1, metavar="PATH..."),
    click.option("-r", "--recursive", is_flag=True, help="Look into directories."),
    click.option("--files-from", metavar="FILE", help="Also take the paths of a list, one on a line; - for stdin."),
    click.option("-0", "--null", is_flag=True, help="Paths of lists end with NUL, as those of find -print0."),
    click.option("--include", multiple=True, metavar="PATTERN", help="Take only names or paths such as '2024/*'."),
    click.option("--exclude", multiple=True, metavar="PATTERN", help="Leave such names or paths out."),
    click.option("--follow-symlinks", is_flag=True, help="Follow symbolic links in directories."),
    click.option("--shard", type=Shard(), default=(1, 1), metavar="N/M", help="Take part N of M, by hash of the path."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="End after N new results."),
    click.option("--watch", multiple=True, metavar="DIR", help="Go on with what arrives in a directory."),
)

where = _together(
    click.option("--server", metavar="URL", help="Ask a running service instead of computing in this process."),
    click.option(
        "--jobs", type=click.IntRange(1, 256), default=4, show_default=True, metavar="N", help="Requests to it at once."
    ),
    click.option("--api-key", metavar="KEY|@FILE", help="A key of that service, or the file that holds it."),
    click.option(
        "--ray",
        is_flag=True,
        help="Compute on the Ray cluster at RAY_ADDRESS, in whatever order. A PATH may be s3://BUCKET/PREFIX, too.",
    ),
    click.option(
        "--ray-workers",
        type=click.IntRange(1),
        metavar="N",
        help="Processes there; if absent, all it has room for.",
    ),
)

outputs = _together(
    click.option(
        "-f",
        "--format",
        type=Names(FORMATS),
        multiple=True,
        callback=_flat,
        help=f"One or more of {', '.join(FORMATS)}.",
    ),
    click.option(
        "-o",
        "--output",
        metavar="FILE|DIR",
        help="Write to a file; to DIR/ a file for each input; or to a template of {dir}, {rel}, {stem}, {name}, {ext}.",
    ),
    click.option(
        "--sidecar",
        type=Names(SIDECARS),
        multiple=True,
        callback=_flat,
        help=f"Write files beside the inputs: {', '.join(SIDECARS)}. photo.jpg gets photo.jpg.txt; with xmp, "
        "photo.jpg.xmp (darktable, digiKam); with xmp-adobe, photo.xmp.",
    ),
    click.option("--write-metadata", is_flag=True, help="Write into the files, as XMP and IPTC, with exiftool."),
    click.option("--no-backup", is_flag=True, help="Keep no copy photo.jpg_original of what metadata is written into."),
    click.option(
        "--if-exists",
        type=click.Choice(["skip", "overwrite", "fail"]),
        default="skip",
        show_default=True,
        help="What to do with files, and metadata, by others.",
    ),
    click.option("--only-missing", is_flag=True, help="Leave files out that have such metadata already."),
)

runs = _together(
    click.option("--journal", metavar="FILE", help="Where it is remembered what is done; beside the output if absent."),
    click.option("--retry-failed", is_flag=True, help="Try again what failed before."),
    click.option("--failed", metavar="FILE", help="Write the paths of what failed to a file."),
    click.option("--max-pages", type=click.IntRange(1), metavar="N", help="Refuse longer documents."),
    click.option("--max-mb", type=click.FloatRange(0, 2000, min_open=True), metavar="N", help="Refuse larger files."),
    click.option("--max-pixels", type=click.IntRange(1), metavar="N", help="Refuse larger images."),
    click.option("--dry-run", is_flag=True, help="Count, and estimate from a few inputs how long it takes."),
    click.option("-q", "--quiet", is_flag=True, help="Print failures only."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
)

captioning = _together(
    click.option("--prompt", help="Beginning that the caption continues; for models that follow it, an instruction."),
    click.option("--schema", metavar="JSON|@FILE", help="JSON schema of the answer, for models that follow it."),
    click.option("--output-language", metavar="NAME", help="Language of the answer, for models that write several."),
    click.option(
        "--detail", count=True, callback=_length, help="Describe at length; given twice, at still greater length."
    ),
    click.option("--min-new-tokens", type=click.IntRange(1, 4096), metavar="N", help="Least length of the text."),
    click.option("--max-new-tokens", type=click.IntRange(1, 4096), metavar="N", help="Most length of the text."),
    click.option("--num-beams", type=click.IntRange(1, 10), metavar="N", help="Width of the search."),
)
part = click.option("--region", metavar="X0,Y0,X1,Y1", help="Part to look at, in fractions of width and height.")
pages = click.option("--pages", metavar="LIST", help="Pages of documents, such as 1-3,7 or 5-.")
segment = click.option(
    "--segment", type=click.Choice(["auto", "lines", "none"]), help="For models that read a line: cut pages into lines."
)
layout = click.option(
    "--layout",
    type=click.Choice(["auto", "rows", "columns", "plain"]),
    help="For models that read pages: what is one line, and in which order.",
)
task = click.option(
    "--task",
    type=click.Choice(["caption", "ground", "read", "detect", "tag", "alt-text"]),
    help="For models that do several things: describe, with boxes, read, find objects, tag, or write an alt text.",
)
ocr = click.option(
    "--ocr",
    type=click.Choice(["auto", "always", "never"]),
    help="Pages of PDFs that hold text: read those without sound text, all, or none.",
)
language = click.option(
    "--language",
    metavar="NAME[,NAME…]",
    help="Languages of the text, such as ru or zh-Hans; as tesseract names them, rus; by the script if absent.",
)
tagger = click.option("--tagger", metavar="NAME", help="Model that makes the tags.")
model = click.option("-m", "--model", metavar="NAME", help="Model; see i2t models list.")
