"""The section of the speed benchmark about the captioner in the box: its first caption, its time, its memory."""

import time
from collections.abc import Iterator

from benchmarks import report
from benchmarks.speed import pictures, servers
from benchmarks.speed.client import form, load
from benchmarks.speed.context import WARMING_UP, Context, answer
from models.discovery import discover

NAME = "efficientnet-gru"
_STARTS = 3


def captioner(context: Context) -> Iterator[str]:
    """From the first request of a service that has prepared nothing to its answer, then photographs one by one."""
    asked = {"model": NAME}
    firsts, sizes = [], []
    for start in range(_STARTS):
        place = context.directory / f"captioner-{start}"
        with servers.ours(place, {}, network_cache=place / "networks") as server:
            begun = time.monotonic()
            answer(server, form(pictures.photograph(start), asked))
            firsts.append(time.monotonic() - begun)
            load(server, (form(image, asked) for image in pictures.photographs(WARMING_UP, _STARTS)), 1)
            count = context.some(50)
            run = load(server, (form(image, asked) for image in pictures.photographs(count, _STARTS + WARMING_UP)), 1)
            sizes.append(server.memory().resident)
    directory = discover()[NAME].source.directory
    assert directory is not None
    in_repository = sum(path.stat().st_size for path in directory.iterdir())
    yield report.table(
        ("captioner", "first caption", "slowest of three", "a photograph, p50", "p95", "resident, MB", "files, MB"),
        [
            (
                NAME,
                report.seconds(sorted(firsts)[1]),
                report.seconds(max(firsts)),
                report.seconds(run.p50),
                report.seconds(run.p95),
                report.megabytes(max(sizes)),
                report.megabytes(in_repository),
            )
        ],
    )
