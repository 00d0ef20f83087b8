"""docs/cli.md, made of the parser: `python -m app.cli.manual > docs/cli.md`."""

from collections.abc import Iterator

import click

from app.cli.main import cli

_WIDTH = 110
_HEAD = """# The command line

Made of the parser by `python -m app.cli.manual > docs/cli.md`; a test compares them.
"""


def manual() -> str:
    """Return the help of all commands in Markdown."""
    return "\n".join([_HEAD, *_sections(cli, "i2t", None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    settings = {**cli.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _sections(found, below, context)


if __name__ == "__main__":
    print(manual(), end="")
