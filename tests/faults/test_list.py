"""The list and the tests say the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.faults.mutants import GUARDS
from tests.server import ROOT

ITEM = re.compile(r"^(\d+)\. (.*(?:\n {3}.*)*)", re.MULTILINE)


def faults() -> dict[int, str]:
    """The list by number, its lines joined."""
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    return {int(number): " ".join(words.split()) for number, words in ITEM.findall(text)}


def written() -> Iterator[tuple[int, str]]:
    """The numbers of the tests in the order in which they are written, and what each says of itself."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (number := re.match(r"test_(\d+)_", node.name)):
                yield int(number[1]), " ".join((ast.get_docstring(node) or "").split())


def test_the_list_is_whole() -> None:
    assert list(faults()) == list(range(1, 72))


def test_each_test_has_the_words_of_the_list() -> None:
    listed = faults()
    for number, words in written():
        assert words == listed[number]


def test_the_code_of_each_guard_is_where_it_is_said_to_be() -> None:
    for guard in GUARDS:
        assert guard.code in (ROOT / guard.file).read_text(encoding="utf-8"), guard


def test_each_number_is_tested_once() -> None:
    numbers = [number for number, _ in written()]
    assert sorted(numbers) == list(range(1, 72))
