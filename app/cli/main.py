"""The command line: `i2t`. The parser alone: what commands do is imported when they run, so that help comes at once."""

import os
import sys
from typing import Any

import click

from app import __version__
from app.cli import parser
from app.cli.exits import CommandError, Exit

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    context_settings=_CONTEXT,
    epilog="\b\nA folder tonight:\n  i2t caption -r photos -o captions.jsonl\n\n" + parser.EXIT_STATUSES,
)
@click.version_option(__version__, prog_name="i2t", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn images into text, on this machine."""


def _examples(*lines: str, exits: bool = True) -> str:
    examples = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return f"{examples}\n\n{parser.EXIT_STATUSES}" if exits else examples


def _work(name: str, given: dict[str, Any]) -> int:
    from app.cli.asked import Asked
    from app.cli.commands import execute

    return execute(name, Asked.of(given))


@cli.command(
    epilog=_examples(
        "i2t caption photo.jpg",
        "i2t caption -r photos -o captions.jsonl",
        "i2t caption -r photos --sidecar txt,xmp",
        "i2t caption -r photos --write-metadata --only-missing",
        "i2t caption -r photos --server http://nas:5000 --jobs 8 -f jsonl > captions.jsonl",
        "find . -newer mark -print0 | i2t caption -0 --files-from -",
    )
)
@parser.inputs
@parser.model
@parser.captioning
@parser.part
@parser.outputs
@parser.runs
@parser.where
def caption(**given: Any) -> int:
    """Describe images.

    A PATH is a file, a directory (-r), a pattern, a URL, or - for an image on stdin. The order of the results is that
    of the inputs. Results go to stdout or where --output, --sidecar and --write-metadata say; all else goes to stderr.
    What is done is remembered in a journal: the same command again finishes what is missing.
    """
    return _work("caption", given)


@cli.command(
    epilog=_examples(
        "i2t read letter.png",
        "i2t read -r scans -o texts/ -f text,pdf",
        "i2t read book.pdf --pages 1-20 -o book.txt",
        "i2t read pismo.jpg --language ru",
        "i2t read -r scans -o '{dir}/{name}.{ext}' -f pdf",
    )
)
@parser.inputs
@parser.model
@parser.segment
@parser.layout
@parser.ocr
@parser.language
@parser.pages
@parser.part
@parser.outputs
@parser.runs
@parser.where
def read(**given: Any) -> int:
    """Read what is written on images and in PDFs."""
    return _work("read", given)


@cli.command(epilog=_examples("i2t tags -r photos -f csv > tags.csv", "i2t tags -r photos --write-metadata"))
@parser.inputs
@parser.model
@parser.tagger
@parser.part
@parser.outputs
@parser.runs
@parser.where
def tags(**given: Any) -> int:
    """Tag images."""
    return _work("tags", given)


@cli.command(epilog=_examples("i2t alt picture.png", "i2t alt -r site/images -f json -o alt.json"))
@parser.inputs
@click.option("--max-length", type=click.IntRange(20, 5000), metavar="N", help="Most characters; 250 if absent.")
@parser.part
@parser.outputs
@parser.runs
@parser.where
def alt(**given: Any) -> int:
    """Write alt texts: what is to be seen, and what is written on it, in one sentence."""
    return _work("alt", given)


@cli.command(
    epilog=_examples(
        "i2t run --model kosmos-2 --detail photo.jpg",
        "i2t run -m florence-2-base --task detect photo.jpg",
        "i2t run -m trocr-base-handwritten -r notes",
    )
)
@parser.inputs
@click.option("-m", "--model", required=True, metavar="NAME", help="Model; see i2t models list.")
@parser.task
@parser.captioning
@parser.segment
@parser.layout
@parser.ocr
@parser.language
@parser.pages
@parser.part
@parser.outputs
@parser.runs
@parser.where
def run(**given: Any) -> int:
    """Run any model that takes images."""
    return _work("run", given)


@cli.command(epilog=_examples("i2t serve", "i2t serve --host 0.0.0.0 --port 8080", exits=False))
@click.option("--host", metavar="ADDRESS", help="Address to listen on (HOST).")
@click.option("--port", metavar="PORT", help="Port to listen on (PORT).")
def serve(**given: str | None) -> int:
    """Start the service. Other settings: see .env.example."""
    from app.cli.serve import serve as start

    return start({name: value for name, value in given.items() if value is not None})


@cli.group()
def models() -> None:
    """See, fetch and remove models."""


@models.command("list")
def models_list() -> int:
    """List all models: name, task, whether it is on this machine, size, licence."""
    from app.cli import models as commands

    return commands.show_all()


@models.command("show")
@click.argument("name")
def models_show(name: str) -> int:
    """Show what is known of a model, and where it lies."""
    from app.cli import models as commands

    return commands.show(name)


@models.command("download")
@click.argument("name")
def models_download(name: str) -> int:
    """Download a model. One that was broken off goes on where it was."""
    from app.cli import models as commands

    return commands.download(name)


@models.command("remove")
@click.argument("name")
def models_remove(name: str) -> int:
    """Remove a model's files from this machine."""
    from app.cli import models as commands

    return commands.remove(name)


@cli.command(epilog=_examples("i2t doctor", "i2t doctor blip-base", exits=False))
@click.argument("model", required=False)
def doctor(model: str | None) -> int:
    """See what this machine has and lacks, and what to do about it.

    With a MODEL, load its real weights, and compare the service's text with that of plain transformers on the samples
    that come with the project. The status is 1 where something needed is missing, or a text differs.
    """
    if model is None:
        from app.cli.doctor import examine

        return examine()
    from app.cli.parity import compare

    return compare(model)


@cli.command(epilog=_examples("i2t search dog beach", "i2t search --query 'dog* NOT beach'", exits=False))
@click.argument("words", nargs=-1, required=True)
@click.option("--journal", multiple=True, metavar="FILE|DIR", help="Where to look; this directory if absent.")
@click.option("--texts", is_flag=True, help="Print what was said, too.")
@click.option("--query", is_flag=True, help="WORDS are a query of SQLite's FTS5: AND, OR, NOT, NEAR, prefix*.")
@click.option("-0", "--null", is_flag=True, help="End paths with NUL, for xargs -0.")
def search(words: tuple[str, ...], journal: tuple[str, ...], texts: bool, query: bool, null: bool) -> int:
    """Find images by what was said of them: captions, words read, tags. Prints paths; status 1 if there are none."""
    from app.cli.search import search as look

    return look(words, journal, null, texts, query)


@cli.command(epilog=_examples("echo 'eval \"$(i2t completion bash)\"' >> ~/.bashrc", exits=False))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what completes i2t's commands and options in a shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "i2t", "_I2T_COMPLETE").source())
    return Exit.DONE


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        return int(cli.main(arguments, prog_name="i2t", standalone_mode=False) or Exit.DONE)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except CommandError as error:
        print(f"i2t: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The interpreter would write to it again at the end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
