"""What the doors of document programs share: a document becomes a request to a model that reads. The program waits for
the answer, or leaves and comes back for it."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, TypeVar

from app.api.gateway import Gateway
from app.api.rate_limit import count_left
from app.api.waiting import result_of, steps_of
from app.errors import InvalidOption, NotFound
from app.exports import EXPORTS, Document, Page
from app.operations import Operation
from app.shared.operations import FoundOperation
from app.tasks import task_of
from app.types import Answer, IsCancelled, PageRanges, ReportProgress, Request, RequestOptions
from models.roles import READER

Finished = TypeVar("Finished")


class Reading:
    """Reads documents with the service."""

    def __init__(self, gateway: Gateway) -> None:
        """`gateway` knows models by the names that clients give, and images in the ways in which they come."""
        self.gateway = gateway
        self.operations = gateway.operations

    def reader(self, name: str, others: Iterable[str] = ()) -> str:
        """Return the model that reads for a program.

        Args:
            name: what the program names.
            others: names of another service's models; they mean the default reader.

        Raises:
            ModelNotFound: there is none, or it is not on this machine.
            InvalidOption: it does not read.
        """
        model = self.gateway.entry(READER if name in others or not name else name).model
        if task_of(model, "read") is None:
            raise InvalidOption(f"{model.name} does not read documents: ask for {READER}")
        return model.name

    def request(
        self,
        source: Request,
        model: str = "",
        pages: PageRanges | None = None,
        export: str | None = None,
        language: tuple[str, ...] | None = None,
    ) -> Request:
        """Return the request to read a document.

        Args:
            source: the document.
            model: as `reader` returns it; empty for the default.
            pages: which of them; None for all.
            export: a name of EXPORTS, for an answer that is also rendered in that format.
            language: of its text; None where it is not known.
        """
        options = RequestOptions(model=model or self.reader(""), task="read", pages=pages, language=language)
        return replace(source, options=options, export=export, may_download=self.gateway.may_download)

    def answer(self, request: Request) -> Answer:
        """Read a document, and wait for the answer while the program is there."""
        operation = self.operations.submit(partial(self.gateway.service.generate, request), request.key)
        return result_of(steps_of(operation))

    def start(self, request: Request, finish: Callable[[Answer], Finished]) -> Operation[Finished]:
        """Begin to read a document, whether the program stays or not; it is found again by its id. A
        client may leave as many documents to be read as it may have requests at once.

        Args:
            request: what is asked.
            finish: makes of the answer what is kept.
        """
        left = ExitStack()
        left.callback(count_left())

        def work(progress: ReportProgress, cancelled: IsCancelled) -> Finished:
            try:
                return finish(self.gateway.service.generate(request, progress, cancelled))
            finally:
                left.close()

        try:
            return self.operations.submit(work, keep=True, detached=True)
        except BaseException:
            # It may be in the queue all the same: closing twice counts once.
            left.close()
            raise

    def find(self, operation_id: str, kind: type[Finished]) -> FoundOperation[Finished]:
        """Return an operation that `start` began, and whose result is of a kind.

        Raises:
            NotFound: there is none, or it belongs to another protocol.
        """
        operation = self.operations.find(operation_id)
        if operation.done and not operation.failed and not isinstance(operation.result(), kind):
            raise NotFound("the operation of this id was begun with another protocol: ask for its result there")
        return operation


def markdown_of(answer: Answer) -> str:
    """Return what was read as Markdown."""
    return EXPORTS["markdown"].render(Document.of(answer, _no_image)).decode()


def pages_of(answer: Answer) -> tuple[Page, ...]:
    """Return the pages of an answer as exports see them, without their images."""
    return Document.of(answer, _no_image).pages


def percent_of(operation: FoundOperation[Any]) -> int:
    """Return how much of a document is read, in percent."""
    if operation.done:
        return 100
    pages = operation.latest("pages")
    return 0 if pages is None else pages.done * 100 // pages.found


def _no_image(number: int) -> NoReturn:
    raise LookupError(f"page {number} is asked for its image")
