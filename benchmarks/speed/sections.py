"""The sections of the speed benchmark. Each starts the servers that it needs, one at a time, and returns Markdown."""

import base64
import json
import time
from collections.abc import Callable, Iterator

from benchmarks import report
from benchmarks.speed import pictures, servers
from benchmarks.speed.beside import beside
from benchmarks.speed.captioner import captioner
from benchmarks.speed.client import Request, Run, as_json, form, load, send
from benchmarks.speed.context import BATCH, LENGTH, QUEUE, WARMING_UP, Context, answer
from benchmarks.speed.doors import doors
from benchmarks.speed.models import distance, others
from benchmarks.speed.servers import Server


def captions(context: Context) -> Iterator[str]:
    """Captions of one model by three servers, at one to many clients."""
    weights = context.weights["blip-base"]
    asked = {"model": "blip-base", **LENGTH}
    kinds: list[tuple[Server, Callable[[bytes], Request]]] = [
        (servers.ours(context.directory / "ours", {"blip-base": weights}), lambda image: form(image, asked)),
        (servers.plain(context.directory / "plain", weights), lambda image: form(image, {})),
        (
            servers.litserve(context.directory / "litserve", weights),
            lambda image: as_json("/predict", {"image": base64.b64encode(image).decode()}),
        ),
    ]
    runs: dict[str, dict[int, Run]] = {}
    peaks = {}
    for server, request in kinds:
        with server:
            load(server, map(request, pictures.photographs(WARMING_UP)), 1)
            runs[server.label] = {}
            first = WARMING_UP
            for clients in context.clients:
                count = context.requests(clients)
                runs[server.label][clients] = load(server, map(request, pictures.photographs(count, first)), clients)
                first += count
            peaks[server.label] = server.peak
    context.throughput.update(
        {label: {clients: run.throughput for clients, run in levels.items()} for label, levels in runs.items()}
    )
    ours, *others = runs.values()
    yield report.table(
        ("server", "clients", "p50", "p95", "captions/s", "refused", "failed", "this service's throughput is"),
        (
            (
                label,
                clients,
                report.seconds(run.p50),
                report.seconds(run.p95),
                f"{run.throughput:.2f}",
                run.refused,
                run.failed,
                "" if levels is ours else f"{ours[clients].throughput / run.throughput:.1f} times",
            )
            for label, levels in runs.items()
            for clients, run in levels.items()
        ),
    )
    yield report.table(
        ("server", "peak memory of its own, MB", "peak resident, MB"),
        ((label, report.megabytes(peak.anonymous), report.megabytes(peak.resident)) for label, peak in peaks.items()),
    )
    least, most = min(context.clients), max(context.clients)
    predicted = (QUEUE + 2 * BATCH) / ours[most].throughput
    faster = others[0][least].p50 / ours[least].p50
    yield (
        f"{least} client{'s' * (least > 1)}: {faster:.1f} times as fast as {list(runs)[1]}. {most} clients: a queue of "
        f"{QUEUE} behind two batches of {BATCH} predicts answers within {report.seconds(predicted)}; 95 % came within "
        f"{report.seconds(ours[most].p95)}."
    )


def http(context: Context) -> Iterator[str]:
    """What HTTP, decoding and storing cost, with a model that does nothing; and an answer from memory."""
    asked = {"model": "nothing"}
    photographs = [pictures.photograph(number, grain=32.0) for number in range(context.some(200))]
    with servers.idle(context.directory / "idle") as server:
        load(server, (form(image, asked) for image in pictures.photographs(WARMING_UP)), 1)
        run = load(server, (form(image, asked) for image in photographs), 1)
    with servers.idle(context.directory / "remembering", result_cache_mb=64) as server:
        request = form(photographs[0], asked)
        send(server, request)
        known = [send(server, request) for _ in range(context.some(200))]
        assert all(b'"cached":true' in body for _, body, _ in known)
    size = sum(map(len, photographs)) / len(photographs) / 1000
    yield report.table(
        ("one client", "p50", "p95"),
        [
            (f"HTTP, decoding, storing ({size:.0f} kB, 640 x 480)", report.seconds(run.p50), report.seconds(run.p95)),
            ("an answer from memory", *_percentiles([took for _, _, took in known])),
        ],
    )


def starts(context: Context) -> Iterator[str]:
    """From the start of the process to the first answer, the first time and the second; and memory given back."""
    request = form(pictures.photograph(0), {"model": "blip-base", **LENGTH})
    weights = {"blip-base": context.weights["blip-base"]}
    place, rows = context.directory / "starts", []
    for which in ("first start, nothing prepared", "second start"):
        begun = time.monotonic()
        with servers.ours(place, weights, preload="blip-base", network_cache=place / "networks") as server:
            answer(server, request)
            rows.append((which, report.seconds(server.started_in), report.seconds(time.monotonic() - begun)))
    begun = time.monotonic()
    with servers.plain(context.directory / "plain-start", weights["blip-base"]) as server:
        answer(server, form(pictures.photograph(0), {}))
        rows.append((server.label, report.seconds(server.started_in), report.seconds(time.monotonic() - begun)))
    yield report.table(("blip-base", "until it listens", "until its first answer"), rows)


def memory(context: Context) -> Iterator[str]:
    """Memory with a model loaded, while it works, and after it was unloaded."""
    weights = {"blip-base": context.weights["blip-base"]}
    seen = {}
    # Prepared in an earlier start, as it is but once.
    for _ in range(2):
        with servers.ours(context.directory / "memory", weights, model_idle_minutes=0.05) as server:
            seen["just started"] = server.memory()
            asked = {"model": "blip-base", **LENGTH}
            first, *more = (form(image, asked) for image in pictures.photographs(1 + 2 * BATCH))
            answer(server, first)
            seen["blip-base loaded, after one picture"] = server.memory()
            load(server, more, BATCH)
            seen[f"after batches of {BATCH}"] = server.memory()
            seen["at most meanwhile"] = server.peak
            end = time.monotonic() + 60
            while _state(server, "blip-base") != "on_disk" and time.monotonic() < end:
                time.sleep(0.1)
            # It is given back a moment after the state says so.
            time.sleep(3)
            seen["blip-base unloaded again"] = server.memory()
    yield report.table(
        ("this service", "the process's own, MB", "with what decodes, MB", "resident, with mapped files, MB"),
        ((when, *map(report.megabytes, (used.alone, used.anonymous, used.resident))) for when, used in seen.items()),
    )


def many(context: Context) -> Iterator[str]:
    """A thousand different photographs, end to end, by sixteen clients."""
    count = context.some(1000)
    asked = {"model": "blip-base"}
    with servers.ours(context.directory / "ours", {"blip-base": context.weights["blip-base"]}) as server:
        load(server, (form(image, asked) for image in pictures.photographs(WARMING_UP)), 1)
        run = load(server, (form(image, asked) for image in pictures.photographs(count, WARMING_UP)), 16)
        yield report.table(
            ("photographs", "answered", "refused at first", "failed", "seconds", "photographs/s", "peak memory, MB"),
            [
                (
                    f"{count:,}",
                    f"{len(run.latencies):,}",
                    run.refused,
                    run.failed,
                    f"{run.seconds:.0f}",
                    f"{run.throughput:.2f}",
                    report.megabytes(server.peak.anonymous),
                )
            ],
        )


SECTIONS: dict[str, Callable[[Context], Iterator[str]]] = {
    "captions": captions,
    "http": http,
    "doors": doors,
    "starts": starts,
    "captioner": captioner,
    "memory": memory,
    "others": others,
    "distance": distance,
    "beside": beside,
    "many": many,
}
NEEDS_BLIP = {"captions", "starts", "memory", "many"}


def _state(server: Server, name: str) -> str:
    models = json.loads(server.get("/models")[1])["models"]
    return str(next(model["state"] for model in models if model["name"] == name))


def _percentiles(latencies: list[float]) -> tuple[str, str]:
    run = Run(latencies, sum(latencies), 0, 0, ())
    return report.seconds(run.p50), report.seconds(run.p95)
