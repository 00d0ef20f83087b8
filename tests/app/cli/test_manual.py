"""The manual is that of the parser; help comes at once."""

import resource
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from app.api.options import NAMES
from app.cli import formats, parser
from app.cli.main import cli
from app.cli.manual import manual
from app.cli.tasks import TASKS
from tests.server import ROOT


def test_the_manual_is_that_of_the_parser() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == manual(), "python -m app.cli.manual > docs/cli.md"


def test_help_takes_no_library_and_no_time() -> None:
    code = (
        "import sys; from app.cli.main import main; status = main(['caption', '--help']); "
        "heavy = {'torch', 'flask', 'transformers', 'pydantic', 'PIL', 'numpy', 'requests', 'sqlite3', 'rich'}; "
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr); sys.exit(status)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.stderr == "[]\n"
    assert "Exit status:" in shown.stdout
    # Processor time, because the tests beside this one take the wall clock's.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def _commands() -> Iterator[click.Command]:
    for name in TASKS:
        found = cli.get_command(click.Context(cli), name)
        assert found is not None
        yield found


COMMANDS = [*_commands()]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_says_what_it_does_with_an_example(command: click.Command) -> None:
    assert command.epilog is not None
    assert f"i2t {command.name} " in command.epilog
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_every_option_of_the_service_is_one_of_a_command() -> None:
    offered = {parameter.name for command in COMMANDS for parameter in command.params}
    # An image of one's own is not kept; tags are the command `tags`.
    assert set(NAMES) - offered == {"store", "tags"}


def test_the_names_of_formats_are_those_that_can_be_written() -> None:
    assert set(parser.FORMATS) == {*formats.TABLES, *formats.FILES} - {"xmp"}
    assert formats.RENDERED.keys() <= formats.FILES.keys()


def test_python_m_is_the_same_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "app.cli", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("i2t ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    command = [sys.executable, "-m", "app.cli"]
    shown = subprocess.run([*command, "completion", shell], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "_I2T_COMPLETE" in shown.stdout
