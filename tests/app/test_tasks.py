"""Which options a model takes for which of its tasks."""

from app.tasks import option_names, taken_options
from app.types import RequestOptions
from models.base import Task
from models.discovery import discover


def test_a_model_that_reads_beside_something_else_takes_what_reading_takes() -> None:
    florence = discover()["florence-2-base"]
    assert "ocr" in option_names(florence)
    options = RequestOptions(task="read", ocr="never")
    assert taken_options(florence, Task.READ_PAGE, options)[1] == []
    assert taken_options(florence, Task.CAPTION, options)[1] == [
        "florence-2-base does not take ocr for caption: ignored"
    ]


def test_only_readers_of_lines_cut_pages() -> None:
    models = discover()
    assert {"segment", "layout", "ocr", "language"} <= option_names(models["trocr-base-handwritten"])
    assert not {"segment", "ocr", "language"} & option_names(models["blip-base"])
