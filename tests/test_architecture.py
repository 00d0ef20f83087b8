"""Who may import whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import ROOT

HEAVY = {"torch", "transformers", "openvino", "rapidocr", "cv2"}
MAY_IMPORT = {
    # Each part, and the parts of app that it may import.
    "app.config": set(),
    "app.errors": set(),
    "app.schemas": set(),
    "app.openapi": {"app", "app.schemas", "app.errors", "app.exports"},
    "app.alt_text": set(),
    "app.exports": {"app.exports"},
    "app.decoding": {"app", "app.decoding", "app.errors"},
    "app.jobs": {"app.engine", "app.errors", "app.schemas"},
    "app.results": {"app.jobs", "app.schemas"},
    "app.answers": {"app.compose", "app.decoding", "app.exports", "app.schemas"},
    "app.compose": {"app", "app.alt_text", "app.decoding", "app.errors", "app.jobs", "app.schemas"},
    "app.fetching": {"app.errors", "app.fetching"},
    "app.storage": {"app.storage", "app.errors"},
    "app.engine": {"app.engine", "app.errors"},
    "app.service": {
        "app", "app.answers", "app.compose", "app.config", "app.decoding", "app.engine", "app.errors", "app.exports",
        "app.fetching", "app.jobs", "app.results", "app.schemas", "app.storage", "app.waiting",
    },
    "app.waiting": {"app", "app.engine", "app.errors", "app.jobs", "app.schemas"},
    "app.api": {
        "app", "app.api", "app.fetching", "app.decoding", "app.errors", "app.exports", "app.jobs", "app.openapi",
        "app.schemas", "app.service", "app.storage",
    },
    "app.serving": {"app", "app.config", "app.service"},
    "app.cli": {"app", "app.config", "app.serving"},
    "app": {"app.api", "app.decoding", "app.config", "app.service", "app.engine", "app.fetching", "app.storage"},
}  # fmt: skip
FLASK = {"app", "app.api"}
REQUESTS = {"app.fetching"}
THREADS = {"app.engine", "app.fetching"}
PROCESSES = {"app.decoding", "models.backends"}


def modules() -> list[tuple[str, ast.Module]]:
    """Every module of the project by its dotted name, parsed."""
    found = []
    for folder in ("app", "models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return found


MODULES = modules()


def part(name: str) -> str:
    """`app.engine.local` belongs to `app.engine`."""
    return ".".join(name.split(".")[:2])


def imports(tree: ast.AST, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            source = node.module or ""
            # `from app import errors` imports app.errors.
            for alias in node.names:
                path = ROOT / source.replace(".", "/") / alias.name
                yield f"{source}.{alias.name}" if path.with_suffix(".py").exists() or path.is_dir() else source


def at_the_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported."""
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


@pytest.mark.parametrize(("name", "tree"), MODULES, ids=[name for name, _ in MODULES])
def test_imports_go_downward(name: str, tree: ast.Module) -> None:
    for imported in imports(tree, name):
        top = imported.split(".")[0]
        if top == "app":
            assert not name.startswith("models"), f"{name} imports {imported}: models never imports app"
            assert part(imported) in MAY_IMPORT[part(name)], f"{name} imports {imported}"
        if imported.startswith("models.training"):
            assert name.startswith("models.training"), f"{name} imports {imported}: training is the last in line"
        if top == "flask" or top.startswith("flask_"):
            assert part(name) in FLASK, f"{name} imports {imported}"
        if top in ("requests", "urllib3"):
            assert part(name) in REQUESTS, f"{name} imports {imported}"
        if top in HEAVY:
            assert name.startswith("models."), f"{name} imports {imported}"


def test_files_of_front_doors_do_not_import_one_another() -> None:
    for name, tree in MODULES:
        if name.startswith("app.api."):
            others = {imported for imported in imports(tree, name) if imported.startswith("app.api")}
            assert others <= {"app.api.forms", "app.api.problems"}, name


def test_no_heavy_library_at_the_top_but_in_runtimes() -> None:
    for name, tree in MODULES:
        for node in at_the_top(tree):
            found = {imported.split(".")[0] for imported in imports(node, name)} & HEAVY
            runs_networks = name.startswith(
                ("models.backends.", "models.networks.", "models.reading.", "models.captioning.", "models.training.")
            )
            assert not found or runs_networks, f"{name} imports {found} at its top"


def test_threads_start_only_in_engines_and_the_fetch_watchdog() -> None:
    for name, tree in MODULES:
        for node in ast.walk(tree):
            starts = {"Thread", "Timer", "ThreadPoolExecutor"}
            used = isinstance(node, ast.Attribute) and node.attr in starts
            taken = isinstance(node, ast.ImportFrom) and starts & {alias.name for alias in node.names}
            assert not (used or taken) or part(name) in THREADS, name


def test_processes_start_only_in_the_cage_and_to_convert() -> None:
    for name, tree in MODULES:
        started = {"subprocess", "multiprocessing", "concurrent"} & {
            imported.split(".")[0] for imported in imports(tree, name)
        }
        forked = any(ast.unparse(node) in ("os.fork", "os.system", "os.popen") for node in ast.walk(tree))
        assert not (started or forked) or part(name) in PROCESSES, name


def test_what_decodes_runs_only_in_the_cage() -> None:
    """Neither Pillow nor PDFium sees the bytes of a user elsewhere in the service."""
    for name, tree in MODULES:
        if part(name).startswith("app") and part(name) not in (
            "app.decoding",
            "app.decoding.images",
            "app.decoding.pdf",
        ):
            assert "pypdfium2" not in set(imports(tree, name)), name
            opens = any(ast.unparse(node) == "Image.open" for node in ast.walk(tree))
            # The page's own sample images.
            assert not opens or name == "app.api.ui", name


def test_only_config_reads_the_environment() -> None:
    for name, tree in MODULES:
        for node in ast.walk(tree):
            if ast.unparse(node) in ("os.environ", "os.getenv"):
                # models/__init__ sets what libraries read when they are imported; what decodes gets little of it.
                assert name in ("app.config", "app.decoding.process", "models"), name


def test_starting_imports_no_network_library() -> None:
    code = (
        "import sys, app.serving; from app.config import Settings; "
        "app.create_app(Settings(save_uploads=False)); "
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_module_and_public_name_says_what_it_is() -> None:
    for name, tree in MODULES:
        assert ast.get_docstring(tree), name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name}.{node.name}"


def test_paths_are_those_of_the_design() -> None:
    for path in ("run.py", "Input", "images", "tests", "requirements.txt", ".env.example", "README.md"):
        assert (ROOT / path).exists(), path
    assert Path(ROOT / "app").is_dir()
    assert Path(ROOT / "models").is_dir()
