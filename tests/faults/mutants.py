"""Guards switched off one at a time: `python -m tests.faults.mutants` says whether a test fails without each.

`python -m tests.faults.mutants 41 57` tries those of some faults only. In a copy of the project, so that nothing here
changes. A guard whose code has moved is said, and is a failure.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.server import ROOT


class Guard(NamedTuple):
    """What is taken out of which file, what stands there instead, and the number of the fault whose test must fail."""

    file: str
    code: str
    instead: str
    fault: int


GUARDS = (
    Guard("app/fetching/ssrf.py", "not named and not all(is_public", "False and not all(is_public", 1),
    Guard("app/fetching/ssrf.py", "if here and (", "if False and (", 14),
    Guard("app/fetching/client.py", "session.trust_env = False", "session.trust_env = True", 16),
    Guard("app/fetching/client.py", "connection.shutdown(socket.SHUT_RDWR)", "pass", 18),
    Guard("app/fetching/client.py", "if len(body) > self._max_bytes:", "if False:", 19),
    Guard("app/fetching/data_url.py", "validate=True", "validate=False", 25),
    Guard("app/fetching/data_url.py", "_STANDARD_ALPHABET, _LINE_BREAKS", "_STANDARD_ALPHABET", 25),
    Guard("app/api/bodies.py", "MAX_FIELD_BYTES = 500_000", "MAX_FIELD_BYTES = 10**9", 30),
    Guard("app/api/csrf.py", "    app.before_request(check_origin)", "    pass", 40),
    Guard("app/__init__.py", "        csrf.trust_local_hosts(app)", "        pass", 41),
    Guard("app/decoding/images.py", "        _check_size(file.size, max_pixels)\n", "", 44),
    Guard("app/decoding/images.py", "ImageChops.difference(whole.image, other.image).getbbox()", "False", 46),
    Guard("app/decoding/images.py", "if scans.covered_before else None", "if True else None", 46),
    Guard("app/decoding/mending.py", "if whole and zlib.crc32(", "if False and zlib.crc32(", 46),
    Guard("app/decoding/mending.py", "if kind[:1].isupper():", "if True:", 46),
    Guard("app/decoding/images.py", "formats=list(formats)) as file:", "formats=None) as file:", 48),
    Guard("app/decoding/images.py", "        data = _without_exif(data)", "        pass", 51),
    Guard("app/decoding/colours.py", "_BLACK if _is_light_on_nothing(image) else _WHITE", "_WHITE", 54),
    Guard("app/decoding/images.py", "if format in _ANIMATED and", "if False and", 55),
    Guard("app/decoding/tiff.py", "if not reduced:", "if True:", 55),
    Guard(
        "app/service.py",
        "with self._kept(upload, pages.format) as saved_as:",
        "for saved_as in [None]:",
        57,
    ),
    Guard("models/registry.py", "        if self.retry_in:", "        if False:", 61),
    Guard("models/errors.py", "if isinstance(error, MemoryError) or", "if False and", 62),
    Guard("app/jobs.py", "        ticket.cancel()", "        pass", 65),
    Guard(
        "app/storage/local.py",
        '        partial = self._directory / f"{_PARTIAL}{uuid.uuid4().hex}"',
        "        partial = target",
        67,
    ),
    Guard("app/engine/local.py", "        except BaseException as error:", "        except Exception as error:", 68),
)


def main(faults: list[str]) -> int:
    """Try all, or those of some faults, print what came of each, and return 1 if a guard is not missed."""
    missed = [_is_missed(guard) for guard in GUARDS if not faults or str(guard.fault) in faults]
    return 0 if all(missed) else 1


def _is_missed(guard: Guard) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", ".*_cache"))
        file = copy / guard.file
        source = file.read_text(encoding="utf-8")
        found = source.count(guard.code)
        file.write_text(source.replace(guard.code, guard.instead), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-qx", "--timeout", "90", "-p", "no:cacheprovider"]
        command += ["tests/faults", "-k", f"test_{guard.fault:02}_"]
        result = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    last = (result.stdout.strip().splitlines() or [""])[-1]
    # A test fails without the guard. An error, such as a server that does not start, says nothing of it.
    missed = found > 0 and " failed" in f" {last}" and " error" not in last
    print(
        f"{'missed' if missed else 'NOT MISSED'} by {guard.fault}: {guard.file}: {guard.code.strip()!r}: {last}",
        flush=True,
    )
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
