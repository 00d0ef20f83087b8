"""A wheel, installed elsewhere, brings all that the service needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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
        f"assert app.__file__.startswith({str(elsewhere)!r}); from app.cli import main; sys.exit(main(['serve']))"
    )
    server = Server(tmp_path, command=[sys.executable, "-P", "-c", code])
    try:
        invoice = (elsewhere / "Input" / "invoice.png").read_bytes()
        assert "Larkfield Paper Company" in server.generate(invoice, model="rapidocr").json()["text"]
        assert server.get("/docs/").ok
    finally:
        server.kill()
