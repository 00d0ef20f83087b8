"""Each model on its own: beside the plain way, and beside what the machine could do."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import median

from benchmarks import report
from benchmarks.speed import pictures, servers
from benchmarks.speed.client import Request, as_json, form, load
from benchmarks.speed.context import BATCH, LENGTH, WARMING_UP, Context, answer
from benchmarks.speed.servers import Server

_LINES = 20


def others(context: Context) -> Iterator[str]:
    """A page of lines, captions with boxes, and tags: one client, beside the plain way."""
    rows = []
    for name, requests in _tasks(context).items():
        if name not in context.weights:
            continue
        medians = []
        for server, way in (
            (servers.ours(context.directory / "ours", {name: context.weights[name]}), 0),
            (servers.plain(context.directory / "plain", context.weights[name]), 1),
        ):
            with server:
                took = [_in_turn(server, both[way]) for both in requests]
            # The first time warms it up.
            medians.append(median(took[1:]))
        rows.append((name, *map(report.seconds, medians), f"{medians[1] / medians[0]:.1f} times"))
    yield report.table(("model", "this service", "Flask + transformers", "ratio"), rows)


def distance(context: Context) -> Iterator[str]:
    """How far each model is from what the machine could do."""
    # Imports torch.
    from benchmarks.speed import limits

    rows = []
    for name, directory in context.weights.items():
        cost = limits.cost(directory)
        before = limits.machine()
        lone, many = _lone_and_batched(context, name)
        after = limits.machine()
        machine = limits.Machine((before.rate + after.rate) / 2, (before.bandwidth + after.bandwidth) / 2)
        least, least_batch = cost.seconds(machine), cost.seconds(machine, BATCH)
        rows.append(
            (
                name,
                f"{cost.flop / 1e9:.0f}",
                f"{cost.steps} x {cost.step_bytes / 1e6:.0f}",
                f"{machine.rate / 1e9:,.0f}",
                f"{machine.bandwidth / 1e9:.0f}",
                report.seconds(least),
                report.seconds(lone),
                f"{lone / least:.2f}",
                report.seconds(least_batch),
                report.seconds(many),
                f"{many / least_batch:.2f}",
            )
        )
    yield report.table(
        (
            "model",
            "GFLOP",
            "steps x MB",
            "GFLOP/s",
            "GB/s",
            "limit",
            "one client",
            "ratio",
            "limit of 8",
            "8 of 16 clients",
            "ratio",
        ),
        rows,
    )


def _tasks(context: Context) -> dict[str, list[tuple[list[Request], list[Request]]]]:
    """Return, for each model, what is asked of this service and of the plain one, several times."""
    times = 1 + context.some(5)
    pages = [pictures.page(_LINES, number) for number in range(1 + context.some(3))]
    trocr = {"model": "trocr-large-handwritten", "segment": "lines", **LENGTH}
    return {
        # The plain service knows no pages: it is given each line, cut out for it.
        "trocr-large-handwritten": [([form(page, trocr)], [form(line, {}) for line in lines]) for page, lines in pages],
        **{
            name: [
                ([form(image, {"model": name, **LENGTH})], [form(image, {})]) for image in pictures.photographs(times)
            ]
            for name in ("kosmos-2", "blip-large")
        },
        "t5-tags": [
            ([as_json("/generate-tags", {"text": text})], [as_json("/generate-tags", {"text": text})])
            for text in pictures.sentences(times, 50)
        ],
    }


def _in_turn(server: Server, requests: Iterable[Request]) -> float:
    """Return the seconds for some requests, one after the other."""
    return sum(answer(server, request) for request in requests)


def _lone_and_batched(context: Context, name: str) -> tuple[float, float]:
    """Return the seconds for a lone request, and for eight of many."""
    if name == "t5-tags":

        def request(number: int) -> Request:
            (text,) = pictures.sentences(1, 50, number)
            return as_json("/generate-tags", {"text": text})
    else:
        options = {"model": name, **LENGTH, **({"segment": "none"} if name.startswith("trocr") else {})}

        def request(number: int) -> Request:
            return form(pictures.photograph(number), options)

    edges = [0, WARMING_UP, WARMING_UP + context.some(10), WARMING_UP + context.some(10) + context.some(64)]
    warming, lone, batched = (map(request, range(begin, end)) for begin, end in pairwise(edges))
    with servers.ours(context.directory / "ours", {name: context.weights[name]}) as server:
        load(server, warming, 1)
        return load(server, lone, 1).p50, BATCH / load(server, batched, 2 * BATCH).throughput
