"""Evaluation from the command line: the table, the JSON, and what is refused."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import pytest
from PIL import Image

from models import downloads, weights
from models.base import Job, Options, Placement
from models.discovery import discover, with_local_paths
from models.families.blip import MODELS as BLIP
from models.registry import Entry
from models.training import evaluate, metrics
from models.training.measure import measure
from models.training.samples import Sample, captioned, written
from tests.models.training.conftest import CAPTIONS, LINES
from tests.models.training.test_report import Page
from tests.server import NETWORKS, ROOT


def test_captioners_are_scored_by_what_they_say(
    run: Callable[..., int],
    dataset: Path,
    checkpoints: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    assert (
        run("blip-base", "kosmos-2", "--num-beams", "1", "3", "--max-new-tokens", "6", json=out, precision="float32")
        == 0
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["dataset"]["count"] == 6
    assert [(one["model"], one["num_beams"]) for one in found["runs"]] == [
        (name, beams) for name in ("blip-base", "kosmos-2") for beams in (1, 3)
    ]
    names = (dataset / "dev.txt").read_text().split()
    pictures = [Sample(dataset / "images" / name, ()).open() for name in names]
    loaded = BLIP[0].load(checkpoints["blip-base"], Placement(precision="float32", cache=NETWORKS))
    for one, beams in zip(found["runs"], (1, 3), strict=False):
        options = Options(num_beams=beams, max_new_tokens=6)
        said = [
            prediction.text for prediction in loaded.predict([Job(picture, options=options) for picture in pictures])
        ]
        assert [prediction["text"] for prediction in one["predictions"]] == said
    for one in found["runs"]:
        assert [prediction["image"] for prediction in one["predictions"]] == names
        said = [prediction["text"] for prediction in one["predictions"]]
        true = [prediction["references"] for prediction in one["predictions"]]
        assert true[0] == [f"{caption} number 5" for caption in CAPTIONS]
        assert one["scores"] == metrics.caption_scores(said, true)
    check_table(capsys.readouterr().out, found["runs"], ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"), "{:.4f}")


def check_table(printed: str, runs: list[dict[str, Any]], columns: tuple[str, ...], form: str) -> None:
    """Compare the table that was printed with the JSON."""
    head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines())
    assert len(body) == len(runs)
    for row, one in zip(body, runs, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert (cells["model"], cells["images"]) == (one["model"], str(one["images"]))
        assert cells["beams"] == str(one["num_beams"] or "default")
        assert [cells[name] for name in columns] == [form.format(one["scores"][name]) for name in columns]


def test_the_batch_changes_nothing_and_the_limit_takes_the_first(run: Callable[..., int], tmp_path: Path) -> None:
    texts = []
    for name, options in {"usual": (), "single": ("--batch", "1"), "few": ("--limit", "2")}.items():
        out = tmp_path / f"{name}.json"
        assert run("blip-large", "--max-new-tokens", "5", *options, json=out) == 0
        texts.append([one["text"] for one in json.loads(out.read_text(encoding="utf-8"))["runs"][0]["predictions"]])
    assert texts[0] == texts[1]
    assert texts[2] == texts[0][:2]


def test_a_model_that_was_measured_is_let_go(dataset: Path, checkpoints: dict[str, Path]) -> None:
    model = with_local_paths(discover(), checkpoints)["blip-base"]
    entry = Entry(model, Placement(precision="float32", cache=NETWORKS))
    samples = captioned(dataset / "images", dataset / "captions.txt")[:2]
    (run,) = measure(entry, samples, [Options(max_new_tokens=3)])
    assert (run.model, run.device, run.precision, len(run.outcomes)) == ("blip-base", "cpu", "float32", 2)
    assert run.seconds > 0
    assert entry.loaded is None


def test_readers_are_scored_by_error_rates(
    run: Callable[..., int], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.json"
    assert run("rapidocr", "trocr-base-handwritten", "--lines", dataset, json=out, html=tmp_path / "page.html") == 0
    good, noise = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert good["scores"] == {"CER": 0, "WER": 0}
    said = [one["text"] for one in noise["predictions"]]
    assert noise["scores"] == pytest.approx({"CER": jiwer.cer(list(LINES), said), "WER": jiwer.wer(list(LINES), said)})
    assert [one["CER"] for one in noise["predictions"]] == pytest.approx(list(map(jiwer.cer, LINES, said)))
    check_table(capsys.readouterr().out, [good, noise], ("CER", "WER"), "{:.2%}")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert all(picture.width > 500 for picture in page.pictures)
    assert set(LINES) <= set(page.texts["li"])


def test_pictures_are_shown_to_models_upright_and_on_white(tmp_path: Path) -> None:
    photo, exif = Image.new("RGB", (30, 20), "red"), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    photo.save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert Sample(tmp_path / "turned.jpg", ()).open().size == (20, 30)
    clear = Sample(tmp_path / "clear.png", ()).open()
    assert (clear.mode, clear.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_images_may_lie_beside_the_listing(tmp_path: Path) -> None:
    (tmp_path / "lines.tsv").write_text("\ufeffa.png\tThe \t tab\r\n\nb.png\tof\n", encoding="utf-8")
    for name in ("a.png", "b.png"):
        Image.new("L", (40, 10)).save(tmp_path / name)
    assert written(tmp_path) == [Sample(tmp_path / "a.png", ("The \t tab",)), Sample(tmp_path / "b.png", ("of",))]


def test_pictures_that_are_missing(
    run: Callable[..., int], dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    arguments = ("blip-base", "--max-new-tokens", "3")
    assert run(*arguments, "--skip-missing", images=tmp_path / "images") == 2
    assert "has none of the 6 images" in capsys.readouterr().err
    for name in ("1.png", "4.png"):
        (tmp_path / "images" / name).write_bytes((dataset / "images" / name).read_bytes())
    assert run(*arguments, images=tmp_path / "images") == 2
    assert "lacks 4 of 6 images (5.png, 0.png, 7.png, ...): --split can name" in capsys.readouterr().err
    assert run(*arguments, "--skip-missing", images=tmp_path / "images") == 0
    assert "|      2 |" in capsys.readouterr().out
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much")
    assert run(*arguments, "--skip-missing", images=tmp_path / "images") == 2
    assert "1.png cannot be read as an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "changed", "message"),
    [
        (["blip-huge"], {}, "there is no model 'blip-huge'; known: blip-base"),
        (["blip-base"], {"images": "nowhere"}, "nowhere is not a folder"),
        (["blip-base"], {"captions": "nothing.txt"}, "nothing.txt cannot be read"),
        (["blip-base"], {"split": "nothing.txt"}, "nothing.txt cannot be read"),
        (["blip-base"], {"captions": None}, "captioners need --images and --captions, readers --lines"),
        (["blip-base"], {"json": "nowhere/a.json"}, "nowhere/a.json cannot be written: its folder is missing"),
        (["blip-base"], {"html": "."}, ". cannot be written: it is a folder"),
        (["blip-base"], {"device": "cuda:99"}, "cuda"),
        (["blip-base"], {"device": "gpu"}, "gpu is no device: use auto"),
        (["blip-base"], {"max_new_tokens": "600"}, "more than the 512 positions of the model"),
        (["mine"], {"model_paths": "mine=nowhere"}, "mine: nowhere is not a directory"),
        (["rapidocr"], {}, "rapidocr does not caption: its task is read-page"),
        (["t5-tags"], {}, "t5-tags does not caption"),
        (["blip-base", "--lines", "nowhere"], {}, "blip-base does not read: its task is caption"),
        (["rapidocr", "--lines", "nowhere"], {}, "nowhere is not a folder"),
        (["rapidocr", "--lines", "."], {}, "lines.tsv is not there"),
        (["rapidocr", "--lines", "."], {"images": "."}, "--lines is for readers; --images"),
        (["rapidocr", "--lines", "."], {"num_beams": "3"}, "rapidocr takes no --num-beams"),
    ],
)
def test_what_cannot_be_measured(
    run: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    changed: dict[str, str | None],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, **changed) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_here_are_fetched_only_when_asked(
    run: Callable[..., int],
    checkpoints: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(weights, "find", lambda *_: None)
    monkeypatch.setattr(downloads, "download", lambda *_: checkpoints["blip-base"])
    arguments = ("blip-base", "--limit", "2", "--max-new-tokens", "3")
    assert run(*arguments, model_paths=None) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: the weights of blip-base are not on this machine: --model-paths blip-base=DIR")
    assert run(*arguments, "--download", model_paths=None) == 0


@pytest.mark.parametrize("rows", ["", "\n", "0.png The quick\n", "0.png\t\n", "\tThe quick\n", "9.png\tmissing\n"])
def test_listings_of_lines_that_cannot_be_used(
    run: Callable[..., int], tmp_path: Path, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.tsv").write_text(rows)
    assert run("rapidocr", "--lines", tmp_path) == 2
    assert re.search(r"is empty|lines.tsv:1: not a file name, a tab|lacks 1 of 1 images", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments", [[], ["blip-base", "--limit", "0"], ["blip-base", "--num-beams", "x"], ["a", "--model-paths", "b"]]
)
def test_command_lines_that_are_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.endswith("\nsee python -m models.training.evaluate --help\n")
    assert printed.count("\n") == 2


def test_as_a_module() -> None:
    command = [sys.executable, "-m", "models.training.evaluate"]
    shown = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--num-beams" in shown.stdout
    wrong = subprocess.run([*command, "blip-huge"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: there is no model")
    assert wrong.stderr.count("\n") == 1
