"""Settings of a training that make no sense are refused before anything is read."""

from pathlib import Path

import pytest

from models.training.settings import Settings, parse


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--epochs 0", "--epochs: Input should be greater than 0, not 0"),
        ("--epochs many", "--epochs: Input should be a valid integer, unable to parse string as an integer, not many"),
        ("--lr nan", "--lr: Input should be a finite number, not nan"),
        ("--length-penalty inf", "--length-penalty: Input should be a finite number, not inf"),
        ("--beams 11", "--beams: Input should be less than or equal to 10, not 11"),
        ("--dropout 1", "--dropout: Input should be less than 1, not 1"),
        ("--seed -1", "--seed: Input should be greater than or equal to 0, not -1"),
        ("--shape cnn-rnn", "--shape: Input should be 'cnn-gru' or 'cnn-lstm', not cnn-rnn"),
        ("--feature-stride 24", "--feature-stride: Input should be a multiple of 16, not 24"),
        ("--epoch-s 3", "unrecognized arguments: --epoch-s 3"),
        ("--image-size 1", "--image-size, --serve-size and --late-size are 32 at least"),
        ("--serve-size 31", "--image-size, --serve-size and --late-size are 32 at least"),
        ("--hidden 10 --heads 4", "--hidden must be a multiple of --heads, and 10 is none of 4"),
        ("--late-size 64", "--late-size and --late-epochs go together"),
        ("--epochs 2 --word-epochs 3", "--word-epochs cannot be more than --epochs"),
        ("--sentence-epochs 2", "--sentence-epochs needs --sentences"),
        ("--self-critical", "--self-critical finishes a captioner: --init-from says which"),
        ("--bleu 1", "--bleu counts with --self-critical only"),
        ("--freeze-encoder --encoder-blocks 2", "--freeze-encoder keeps what --encoder-blocks would learn"),
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


def test_nothing_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("seed", "3")
    monkeypatch.setenv("EPOCHS", "3")
    settings, _ = parse(["--images", "here", "--captions", "here"])
    assert (settings.seed, settings.epochs) == (Settings().seed, Settings().epochs)


def test_what_is_not_used_may_be_anything() -> None:
    assert Settings(shape="cnn-lstm", hidden=10, heads=4).hidden == 10
    assert Settings(init_from=Path("here"), hidden=10, heads=4, self_critical=True, bleu=1).bleu == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{lr: 1}", "settings.json cannot be read: Expecting property name enclosed in double quotes"),
        ("[]", "settings.json cannot be read: "),
        (
            '{"epoch": 3}',
            "settings.json does not hold the settings of a training: --epoch: Extra inputs are not permitted",
        ),
        ('{"shape": "cnn-rnn"}', "--shape: Input should be 'cnn-gru' or 'cnn-lstm', not cnn-rnn"),
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
