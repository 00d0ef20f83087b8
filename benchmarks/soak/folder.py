"""Caption a folder of photos, a hundred for each minute, with `i2t`: whole and killed, alone and in company.

A run that is killed at five random moments and resumed must hold each photo once, with what an unbroken run says of
it. Two processes on one journal, and two shards, must do each photo once. The rate is set beside those of a bare loop
over the engine, with as many photos at once and with one, and of a shell loop with curl: in turns, as machines have
moods.
"""

import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import table
from benchmarks.soak import Options, Result
from tests.server import ROOT, Server

_PER_MINUTE, _COMPARED = 100, 0.2
"""How many photos there are for each minute, and which share of them is done when rates are compared."""
_SETTLED = 0.1
"""After which share of the photos memory should stay as it is."""
ROUNDS, KILLS = 3, 5
MODEL = "efficientnet-gru"
LEAST_OF_BARE, LEAST_OF_CURL, MOST_GROWTH, MOST_OF_ONE = 0.9, 1.3, 1.1, 1.1
_I2T = [sys.executable, "-m", "app.cli", "caption", "-m", MODEL]
_LOOP = "from benchmarks.soak.folder import loop; import sys; loop(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
_CURL = 'for photo in "$1"/*; do curl -sSf -F image_file=@"$photo" -F format=text -F model="$2" "$3"; echo; done'


def soak(options: Options) -> Result:
    """Return what was measured, and what is not as it should be."""
    count = int(_PER_MINUTE * options.minutes)
    compared = int(_COMPARED * count)
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        photos, few = home / "photos", home / "few"
        gather(options.images, photos, count)
        gather(photos, few, compared)
        wrong: list[str] = []
        whole, grown = _unbroken(home, photos, wrong)
        _killed(home, photos, whole, wrong)
        one, two, shards = _company(home, few, wrong)
        rates = _rates(home, few, wrong)
    rows = [(name, f"{rate:.3g}", f"{rates['i2t'] / rate:.2f}") for name, rate in rates.items()]
    measured = "\n\n".join(
        (
            table(("a folder of photos, with", "photos/s", "i2t is times as fast"), rows),
            f"{count} photos; memory from a tenth of them to the end: times {grown:.2f}. {compared} photos: one process"
            f" {one:.1f} s, two on one journal {two:.1f} s, two shards {shards:.1f} s, loading included.",
        )
    )
    return Result(measured, wrong)


def loop(directory: str, parallel: int, count: int) -> None:
    """Print the rate of the service without a command line around it: `parallel` threads, nothing remembered."""
    from app import build_service
    from app.cli.local import settings_for
    from app.types import Request, RequestOptions

    service = build_service(settings_for(None, None, None))
    asked = RequestOptions(model=MODEL)
    photos = sorted(Path(directory).iterdir())[:count]
    service.generate(Request(photos[0].read_bytes(), options=asked))
    began = time.monotonic()
    with ThreadPoolExecutor(parallel) as threads:
        done = len([*threads.map(lambda path: service.generate(Request(path.read_bytes(), options=asked)), photos)])
    print(done / (time.monotonic() - began))
    sys.stdout.flush()
    os._exit(0)


def gather(source: Path | None, target: Path, count: int) -> None:
    """Link photos of a directory, or draw some, into another."""
    target.mkdir()
    if source is not None:
        for path in sorted(source.iterdir())[:count]:
            os.link(path, target / path.name) if source.parent == target.parent else shutil.copy(path, target)
        return
    drawn = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(drawn.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((500, 375), Image.Resampling.BICUBIC).save(target / f"{number:04}.jpg", quality=90)


def _unbroken(home: Path, photos: Path, wrong: list[str]) -> tuple[list[str], float]:
    """Return the lines of an unbroken run, and how many times as much memory it has at the end as at photo 100."""
    out = home / "whole.jsonl"
    process = _start("-r", photos, "-o", out)
    memory: dict[int, int] = {}
    count = len([*photos.iterdir()])
    while process.poll() is None:
        done = out.read_bytes().count(b"\n") if out.exists() else 0
        if done >= _SETTLED * count:
            memory[done] = _memory(process.pid)
        time.sleep(0.5)
    lines = out.read_text(encoding="utf-8").splitlines()
    if process.returncode or len(lines) != count:
        wrong.append(f"a run ended with {process.returncode} and {len(lines)} lines")
    marks = sorted(memory)
    grown = statistics.median(memory[mark] for mark in marks[-3:]) / statistics.median(memory[m] for m in marks[:3])
    if grown > MOST_GROWTH:
        wrong.append(f"memory grew {grown:.2f} times from a tenth of {count} photos to the end")
    return lines, grown


def _killed(home: Path, photos: Path, whole: Sequence[str], wrong: list[str]) -> None:
    """Kill a run at random moments, resume it, and compare what it wrote."""
    out, chance = home / "killed.jsonl", random.Random(0)
    count = len(whole)
    for left in range(KILLS, 0, -1):
        process, before = _start("-r", photos, "-o", out), _count(out)
        share = before + chance.random() * 1.8 * (count - before) / (left + 1)
        while process.poll() is None and _count(out) <= share:
            time.sleep(0.01 + 0.02 * chance.random())
        process.kill()
        process.wait()
    ended = _start("-r", photos, "-o", out).wait()
    if ended not in (0, 5) or out.read_text(encoding="utf-8").splitlines() != list(whole):
        wrong.append(f"after {KILLS} kills the lines are not those of an unbroken run (status {ended})")


def _company(home: Path, photos: Path, wrong: list[str]) -> tuple[float, float, float]:
    """Return the seconds of one process, of two on one journal, and of two shards."""
    one = _timed([["-r", photos, "-o", home / "one.jsonl"]])
    shared = home / "shared.jsonl"
    two = _timed([["-r", photos, "-o", shared]] * 2)
    shards = _timed([["-r", photos, "-o", home / f"{n}.jsonl", "--shard", f"{n}/2"] for n in (1, 2)])
    names = sorted(path.name for path in photos.iterdir())
    for what, files in (("two processes", [shared]), ("two shards", [home / "1.jsonl", home / "2.jsonl"])):
        done = [json.loads(line)["path"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        if sorted(os.path.basename(path) for path in done) != names:
            wrong.append(f"{what} did not do each photo once")
    if two > MOST_OF_ONE * one:
        wrong.append(f"two processes took {two:.0f} s where one took {one:.0f} s")
    return one, two, shards


def _rates(home: Path, photos: Path, wrong: list[str]) -> dict[str, float]:
    """Return the median rates in photos a second: each way in turn, several times."""
    found: dict[str, list[float]] = {}
    parallel = str(2 * 8 + len(os.sched_getaffinity(0)))
    (home / "server").mkdir()
    server = Server(home / "server", save_uploads=False, result_cache_mb=0, precision="auto", network_cache=_networks())
    try:
        server.generate(next(photos.iterdir()).read_bytes(), model=MODEL)
        for number in range(ROUNDS):
            found.setdefault("i2t", []).append(_i2t_rate(photos, home / f"rate{number}.jsonl"))
            found.setdefault("the engine, as many at once", []).append(_loop_rate(photos, parallel))
            found.setdefault("the engine, one at a time", []).append(_loop_rate(photos, "1"))
            found.setdefault("curl", []).append(_curl_rate(photos, server.url))
    finally:
        server.kill()
    rates = {name: statistics.median(each) for name, each in found.items()}
    for name, least in (("the engine, as many at once", LEAST_OF_BARE), ("curl", LEAST_OF_CURL)):
        if rates["i2t"] < least * rates[name]:
            wrong.append(f"i2t does {rates['i2t']:.3g} photos a second, and {name} {rates[name]:.3g}")
    return rates


def _i2t_rate(photos: Path, out: Path) -> float:
    process = _start("-r", photos, "-o", out, stderr=subprocess.PIPE)
    _, said = process.communicate()
    found = re.search(r"([\d.]+)/s", said.splitlines()[-1])
    assert found, said
    return float(found[1])


def _loop_rate(photos: Path, parallel: str) -> float:
    command = [sys.executable, "-c", _LOOP, str(photos), parallel, str(len([*photos.iterdir()]))]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _curl_rate(photos: Path, url: str) -> float:
    began = time.monotonic()
    command = ["sh", "-c", _CURL, "sh", str(photos), MODEL, f"{url}/generate-text"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return len([*photos.iterdir()]) / (time.monotonic() - began)


def _timed(commands: Sequence[Sequence[object]]) -> float:
    began = time.monotonic()
    processes = [_start(*arguments) for arguments in commands]
    for process in processes:
        process.wait()
    return time.monotonic() - began


def _start(*arguments: object, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    return subprocess.Popen([*_I2T, *map(str, arguments)], cwd=ROOT, stderr=stderr, text=True)


def _count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _memory(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _networks() -> str:
    return os.path.expanduser("~/.cache/image-to-text")
