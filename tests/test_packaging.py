"""A wheel, installed elsewhere, brings all that the service needs; files of requirements, what is imported."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.server import ROOT, Server


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # The build backend is among the development requirements, so nothing is downloaded.
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("image_to_text-*.whl")
    return built


def test_the_wheel_holds_the_samples_and_every_file_of_the_packages(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "app", "models", "Input"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(tracked) <= held
    assert {name.split("/")[0] for name in held} - {"app", "models", "Input"} == {
        next(name for name in held if ".dist-info/" in name).split("/")[0]
    }


def test_an_installed_wheel_serves(wheel: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(elsewhere), str(wheel)],
        check=True,
        capture_output=True,
    )
    script = elsewhere / "bin" / "i2t"
    assert script.exists()
    # The wheel's own packages, and the libraries of this environment; the checkout is on no path.
    code = (
        f"import sys; sys.path[:0] = [{str(elsewhere)!r}]; import app; "
        f"assert app.__file__.startswith({str(elsewhere)!r}); from app.cli.main import main; sys.exit(main(['serve']))"
    )
    server = Server(tmp_path, command=[sys.executable, "-P", "-c", code])
    try:
        invoice = (elsewhere / "Input" / "invoice.png").read_bytes()
        assert "Larkfield Paper Company" in server.generate(invoice, model="rapidocr").json()["text"]
        assert server.get("/docs/").ok
    finally:
        server.kill()


BROUGHT = {
    "botocore": "boto3",
    "cv2": "rapidocr",
    "jinja2": "flask",
    "opentelemetry": "opentelemetry-sdk",
    "pyarrow": "ray",
    "tokenizers": "transformers",
    "werkzeug": "flask",
    "yaml": "transformers",
}
"""What a requirement brings as a part of itself."""
CALLED = {
    "PIL": "pillow",
    "bidi": "python-bidi",
    "pillow_heif": "pillow-heif",
    "dotenv": "python-dotenv",
    "exiftool": "pyexiftool",
}
"""Distributions whose modules have other names."""


def required(path: Path) -> dict[str, str]:
    """Return what a file of requirements asks for, with what it includes: versions by name."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            found |= required(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            found[requirement.name.lower()] = str(requirement.specifier)
    return found


def imported(paths: list[Path]) -> set[str]:
    """Return the distributions that modules import, wherever in them."""
    names: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    others = names - sys.stdlib_module_names - {"app", "models", "benchmarks", "tests", "_typeshed"}
    return {BROUGHT.get(name, CALLED.get(name, name.replace("_", "-").lower())) for name in others}


@pytest.mark.parametrize(
    ("requirements", "folders"),
    [
        # Where they are asked for, some modules import an extra too.
        ("requirements.txt requirements-tracing.txt requirements-scale.txt requirements-ray.txt", ["app", "models"]),
        ("requirements-train.txt", ["models/training"]),
        ("requirements-bench.txt", ["benchmarks"]),
    ],
)
def test_what_is_imported_is_required(requirements: str, folders: list[str]) -> None:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    if "models" in folders:
        paths = [path for path in paths if "training" not in path.parts]
    if "benchmarks" in folders:
        text = "".join(path.read_text(encoding="utf-8") for path in paths)
        shared = set(re.findall(r"from tests(?:\.| import )(\w+)", text))
        helpers = [path for name in shared for path in (ROOT / "tests").glob(f"{name}.py")]
        helpers += [path for name in shared for path in (ROOT / "tests" / name).glob("*.py")]
        paths += [path for path in helpers if not path.name.startswith("test_")]
    wanted = [name for file in requirements.split() for name in required(ROOT / file)]
    assert imported(paths) <= set(wanted)


def test_extras_are_imported_where_they_are_asked_for_alone() -> None:
    extras = {"tracing.py", "shared/state.py", "storage/s3.py", "cli/clustered.py", "cli/objects.py"} | {
        f"engine/ray_{part}.py" for part in ("cluster", "replica", "serve", "ticket")
    }
    others = [path for path in (ROOT / "app").rglob("*.py") if str(path.relative_to(ROOT / "app")) not in extras]
    assert imported(others) <= required(ROOT / "requirements.txt").keys()


def test_the_same_is_required_everywhere() -> None:
    wanted: dict[str, str] = {}
    for path in sorted(ROOT.glob("requirements*.txt")):
        for name, version in required(path).items():
            assert wanted.setdefault(name, version) == version, f"{path.name}: {name}"
