"""The record of a training: a row for each epoch, and curves."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG, CURVES = "log.csv", "curves.png"
COLUMNS = (
    "epoch", "steps", "lr", "loss", "caption_loss", "word_loss", "sentence_loss",
    "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "images_per_second", "seconds",
)  # fmt: skip


class Record:
    """The log of a run. A resumed one keeps the rows of the epochs that need not be repeated."""

    def __init__(self, directory: Path, epochs_done: int) -> None:
        self._directory = directory
        self._rows: list[dict[str, str]] = []
        if epochs_done and (directory / LOG).is_file():
            with (directory / LOG).open(newline="", encoding="utf-8") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["epoch"]) <= epochs_done]

    def add(self, row: Mapping[str, float]) -> None:
        """Add the row of an epoch, write the log, and redraw the curves."""
        self._rows.append({name: f"{value:.6g}" for name, value in row.items()})
        with (self._directory / LOG).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(self._rows)
        draw(self._rows, self._directory / CURVES)


def draw(rows: Sequence[Mapping[str, str]], file: Path) -> None:
    """Draw the losses of the training, and the scores on dev, over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, title, names in zip(
        figure.subplots(1, 2),
        ("loss", "dev"),
        (("loss", "caption_loss", "word_loss", "sentence_loss"), ("BLEU-4", "CIDEr")),
        strict=True,
    ):
        for name in names:
            points = [(int(row["epoch"]), float(row[name])) for row in rows if row.get(name)]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 2 else None)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(file, dpi=100)
