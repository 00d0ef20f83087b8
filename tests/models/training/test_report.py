"""The page of the best and the worst, parsed back."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from models.base import Options, Task
from models.training import report
from models.training.measure import Outcome, Run
from models.training.samples import Sample


class Page(HTMLParser):
    """A page, parsed: its elements balance, and nothing in it is fetched or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.names: list[str] = []
        self.pictures: list[Image.Image] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []
        assert not re.search(r"url\(|@import|https?:", self.texts["style"][0])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        assert tag not in ("script", "link", "iframe", "b")
        assert not {name for name in given if name.startswith("on") or name in ("href", "srcset")}
        if tag == "img":
            prefix, _, data = (given["src"] or "").partition(",")
            assert prefix == "data:image/jpeg;base64"
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
            self.names.append(given["alt"] or "")
        elif tag != "meta":
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data


def test_the_page_shows_pictures_with_what_is_said_and_what_is_true(run: Callable[..., int], tmp_path: Path) -> None:
    out, html = tmp_path / "scores.json", tmp_path / "page.html"
    assert run("blip-base", "--max-new-tokens", "6", json=out, html=html, pictures="2") == 0
    predictions = json.loads(out.read_text(encoding="utf-8"))["runs"][0]["predictions"]
    page = Page(html.read_text(encoding="utf-8"))
    assert page.texts["h1"] == ["blip-base"]
    assert page.texts["h3"] == ["Best", "Worst"]
    assert len(page.names) == len(set(page.names)) == 4
    assert all(picture.format == "JPEG" and picture.width <= 360 and picture.height <= 240 for picture in page.pictures)
    shown = {one["image"]: one for one in predictions if one["image"] in page.names}
    assert page.texts["li"] == [text for name in page.names for text in shown[name]["references"]]
    assert any("<b>&amp; brown</b>" in text for text in page.texts["li"])
    assert {one["text"] for one in shown.values()} <= set(page.texts["p"])


def outcomes(folder: Path, scores: list[float]) -> list[Outcome]:
    return [
        Outcome(Sample(folder / f"{number}.png", ('"true" <i>',)), f"<script>said {number}</script>", score)
        for number, score in enumerate(scores)
    ]


def make_run(folder: Path, task: Task, scores: list[float]) -> Run:
    corpus = {"CER": 0.25} if task is Task.READ_LINE else {"CIDEr": 0.5}
    return Run("<model>", task, Options(), "cpu", "float32", corpus, 2.0, outcomes(folder, scores))


@pytest.mark.parametrize(
    ("task", "scores", "best", "worst"),
    [
        (Task.CAPTION, [0.5, 0.1, 0.9, 0.3, 0.7], [2, 4], [1, 3]),
        (Task.READ_LINE, [0.5, 0.1, 0.9, 0.3, 0.7], [1, 3], [2, 4]),
        (Task.CAPTION, [0.5, 0.1, 0.9], [2, 0], [1]),
        (Task.CAPTION, [0.5], [0], []),
    ],
)
def test_best_and_worst(dataset: Path, task: Task, scores: list[float], best: list[int], worst: list[int]) -> None:
    run = make_run(dataset / "images", task, scores)
    page = Page(report.as_html([run], {"images": "<images>"}, pictures=2))
    assert page.names == [f"{number}.png" for number in best + worst]
    assert page.texts["h3"] == (["Best", "Worst"] if worst else ["Best"])
    assert page.texts["h1"] == ["<model>"]
    assert f"<script>said {best[0]}</script>" in page.texts["p"]
