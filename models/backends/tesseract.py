"""The program tesseract: where its languages are, and how it runs."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from models.base import ModelUnavailable

PROGRAM = "tesseract"
_ONE_LINE = "7"  # its --psm for an image of one line


@cache
def directory() -> Path:
    """Return where tesseract's languages are; a directory that is not there without tesseract."""
    if shutil.which(PROGRAM) is not None:
        said = subprocess.run([PROGRAM, "--list-langs"], capture_output=True, text=True, timeout=30, check=False)
        if found := re.search(r'in "(.+?)/?"', said.stdout + said.stderr):
            return Path(found[1])
    return Path("no-tesseract")


def read_lines(folder: Path, languages: Path, names: str, seconds: float) -> None:
    """Read the images that the file `list` in a folder names, each of one line, into `out.txt` and `out.tsv` there.

    Args:
        folder: where it works.
        languages: the directory of its languages.
        names: of the languages to read, by tesseract's names, with `+` between them.
        seconds: after which it is ended.

    Raises:
        ModelUnavailable: the program failed, or took too long.
    """
    # One thread: tesseract gains little by more, and other models need the cores.
    command = [
        "env",
        "OMP_THREAD_LIMIT=1",
        PROGRAM,
        "list",
        "out",
        "--tessdata-dir",
        str(languages),
        "-l",
        names,
        "--psm",
        _ONE_LINE,
        "txt",
        "tsv",
    ]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=seconds)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        reason = said.decode(errors="replace").strip()[-200:] or type(error).__name__
        raise ModelUnavailable(f"tesseract failed: {reason}") from error
