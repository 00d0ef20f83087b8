"""Settings of a training that make no sense are refused before anything is read."""

from pathlib import Path

import pytest

from models.training.settings import Settings, parse


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--epochs 0", "--epochs must be at least 1, not 0"),
        ("--epochs -1", "--epochs must be at least 1, not -1"),
        ("--epochs many", "argument --epochs: invalid int value: 'many'"),
        ("--batch-size 0", "--batch-size must be at least 1"),
        ("--captions-per-image 0", "--captions-per-image must be at least 1"),
        ("--beams 0", "--beams must be at least 1 and at most 10"),
        ("--lr -1", "--lr must be above 0"),
        ("--lr nan", "--lr must be above 0"),
        ("--length-penalty inf", "--length-penalty must be finite"),
        ("--dropout 1", "--dropout must be at least 0 and below 1"),
        ("--average 1", "--average must be at least 0 and below 1"),
        ("--smallest-crop 0", "--smallest-crop must be above 0 and at most 1"),
        ("--colour 2", "--colour must be at least 0 and at most 1"),
        ("--drawn 1", "--drawn must be at least 2"),
        ("--patience 0", "--patience must be at least 1"),
        ("--workers -1", "--workers must be at least 0"),
        ("--save-every 0", "--save-every must be at least 1"),
        ("--seed -1", "--seed must be at least 0"),
        ("--shape cnn-rnn", "argument --shape: invalid choice"),
        ("--feature-stride 8", "argument --feature-stride: invalid choice"),
        ("--image-size 1", "--image-size, --serve-size and --late-size are 32 at least"),
        ("--serve-size 31", "--image-size, --serve-size and --late-size are 32 at least"),
        ("--hidden 10 --heads 4", "--hidden must be a multiple of --heads, and 10 is none of 4"),
        ("--late-size 64", "--late-size and --late-epochs go together"),
        ("--epochs 2 --word-epochs 3", "--word-epochs cannot be more than --epochs"),
        ("--self-critical", "--self-critical finishes a captioner: --init-from says which"),
        ("--bleu 1", "--bleu counts with --self-critical only"),
        ("--train-split here", "--train-split and --dev-split go together"),
    ],
)
def test_nonsense_is_refused_in_two_lines(wrong: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--images", "here", "--captions", "here", *wrong.split()])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.endswith("\nsee python -m models.training.train --help\n")
    assert said.count("\n") == 2


def test_what_is_not_used_may_be_anything() -> None:
    assert Settings(shape="cnn-lstm", hidden=10, heads=4).hidden == 10
    assert Settings(init_from=Path("here"), hidden=10, heads=4, self_critical=True, bleu=1).bleu == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{lr: 1}", "settings.json cannot be read: Expecting property name enclosed in double quotes"),
        ("[]", "settings.json does not hold the settings of a training"),
        ('{"epoch": 3}', "settings.json does not hold the settings of a training"),
        ('{"epochs": "3"}', "--epochs cannot be '3'"),
        ('{"shape": "cnn-rnn"}', "--shape must be cnn-gru or cnn-lstm, not cnn-rnn"),
    ],
)
def test_a_damaged_file_of_settings(
    tmp_path: Path, content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(SystemExit) as ended:
        parse(["--resume", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
