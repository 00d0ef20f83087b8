"""What was measured, as Markdown, a plot, and sections of benchmarks/README.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

README = Path(__file__).resolve().parent / "README.md"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write(name: str, text: str) -> None:
    """Replace what stands between the marks of a section.

    Raises:
        ValueError: the file has no such marks.
    """
    before = README.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    found = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not found.search(before):
        raise ValueError(f"{README} has no section {begin}")
    README.write_text(found.sub(lambda _: f"{begin}\n{text}\n{end}", before), encoding="utf-8")


def plot(path: Path, throughput: Mapping[str, Mapping[int, float]]) -> None:
    """Draw the throughput of servers, in answers per second, by the number of clients."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same numbers give the same file.
    mpl.rcParams["svg.hashsalt"] = "throughput"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for label, levels in throughput.items():
        axes.plot(list(levels), list(levels.values()), marker="o", label=label)
    clients = sorted({level for levels in throughput.values() for level in levels})
    axes.set_xscale("log", base=2)
    axes.set_xticks(clients, [str(level) for level in clients])
    axes.set(xlabel="clients at once", ylabel="captions per second", ylim=(0, None))
    axes.grid(alpha=0.3)
    # Above the curves: wherever it lay among them, some run would draw a curve there.
    figure.legend(loc="outside upper center", ncols=len(throughput), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def seconds(value: float) -> str:
    """Return a time for people: milliseconds below a tenth of a second."""
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def megabytes(value: float) -> str:
    """Return bytes as whole megabytes of 1,000,000."""
    return f"{value / 1e6:,.0f}"
