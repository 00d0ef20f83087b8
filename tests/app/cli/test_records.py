"""Answers of a service, as the command line keeps them."""

from app.api import schemas
from app.cli import records
from app.types import Answer, ImageInfo, Page
from models.found import WHOLE_IMAGE, Checkbox, Line, Part

HEAD = Line("Things", 0.9, WHOLE_IMAGE)
ROWS = tuple(
    Line(f"{name} 1.00", 0.9, WHOLE_IMAGE, 1, (Part(name, 0.9, WHOLE_IMAGE), Part("1.00", 0.8, WHOLE_IMAGE, 1)), True)
    for name in ("cup", "jug")
)
BOX = Line("☑ paid", 0.7, WHOLE_IMAGE, 2, checkboxes=(Checkbox("selected", WHOLE_IMAGE),))


def test_nothing_that_was_read_is_lost_between_a_service_and_the_command_line() -> None:
    image = ImageInfo(30, 20, "PDF", "00")
    read = Page(30, 20, "a", None, (HEAD, *ROWS, BOX))
    held = Page(30, 20, "b", None, (), number=1, is_read=False)
    for pages in ((read,), (held,), (read, held)):
        answer = Answer("a", "rapidocr", pages, image=image)
        sent = schemas.Answer.of(answer, "id").model_dump(mode="json")
        if len(pages) == 1:
            assert sent["tables"] or sent["text_layer"]
        assert records.record("path", records.from_service(sent)) == records.record("path", answer)
        assert records.from_service(sent).pages[0].lines == pages[0].lines
