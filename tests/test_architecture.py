"""Who may import whom (import-linter), and what only one part of the code does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.server import ROOT

HEAVY = {"torch", "transformers", "openvino", "rapidocr", "cv2"}
THREADS = {"app.cli", "app.engine", "app.fetching", "app.operations", "app.serving", "app.shared"}
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
        only_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not only_for_types and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def test_imports_go_downward() -> None:
    """The contracts stand in pyproject.toml."""
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


def test_no_heavy_library_at_the_top_but_in_runtimes() -> None:
    for name, tree in MODULES:
        for node in at_the_top(tree):
            found = {imported.split(".")[0] for imported in imports(node, name)} & HEAVY
            runs_networks = name.startswith(
                ("models.backends.", "models.networks.", "models.reading.", "models.captioning.", "models.training.")
            )
            assert not found or runs_networks, f"{name} imports {found} at its top"


def test_threads_start_only_where_work_runs_beside_requests() -> None:
    for name, tree in MODULES:
        for node in ast.walk(tree):
            starts = {"Thread", "Timer", "ThreadPoolExecutor"}
            used = isinstance(node, ast.Attribute) and node.attr in starts
            taken = isinstance(node, ast.ImportFrom) and starts & {alias.name for alias in node.names}
            assert not (used or taken) or part(name) in THREADS, name


def test_processes_start_only_in_workers_and_to_convert() -> None:
    for name, tree in MODULES:
        started = {"subprocess", "multiprocessing"} & {imported.split(".")[0] for imported in imports(tree, name)}
        forked = any(ast.unparse(node) in ("os.fork", "os.system", "os.popen") for node in ast.walk(tree))
        assert not (started or forked) or part(name) in PROCESSES, name


def test_user_files_are_opened_only_in_workers() -> None:
    """Neither Pillow nor PDFium sees the bytes of a user elsewhere in the service."""
    for name, tree in MODULES:
        if part(name).startswith("app") and part(name) != "app.decoding":
            opens = any(ast.unparse(node) == "Image.open" for node in ast.walk(tree))
            # The project's own sample images, and a TIFF that was just written.
            assert not opens or name in ("app.api.ui", "app.cli.parity", "app.exports.raster"), name


_READERS = ("app.config", "app.decoding.process", "app.engine.ray_cluster", "models", "models.downloads")


def test_only_config_reads_the_environment() -> None:
    for name, tree in MODULES:
        for node in ast.walk(tree):
            if ast.unparse(node) in ("os.environ", "os.getenv"):
                # app.engine.ray_cluster sets what Ray reads, models/__init__ what libraries read when they are
                # imported; what decodes gets little of it;
                # HF_HUB_OFFLINE belongs to the hub's client, which reads it once.
                assert name in _READERS, name


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
