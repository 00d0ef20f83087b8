"""The file of a request: uploaded in its body, or fetched from its URL."""

import hashlib
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app import errors
from app.fetching.client import Fetcher
from app.types import Request


@dataclass(frozen=True, slots=True)
class Upload:
    """The file of a request.

    Attributes:
        request: what is asked of the file.
        data: its bytes.
        sha256: the hash of the bytes, in hexadecimal.
    """

    request: Request
    data: bytes
    sha256: str

    def key(self, of_pipeline: Hashable) -> tuple[Hashable, ...]:
        """Return the key of a pipeline's answer in the cache: all that it depends on."""
        return self.sha256, self.request.options.pages, self.request.options.region, of_pipeline


def receive(request: Request, fetcher: Fetcher, max_bytes: int) -> Upload:
    """Return the file of a request, fetched if the request has only its URL.

    Raises:
        TooLarge: the file has more bytes.
        ServiceError: the URL cannot be fetched, as `Fetcher.fetch` says.
    """
    data = request.image if request.image is not None else fetcher.fetch(request.image_url or "")
    if len(data) > max_bytes:
        raise errors.TooLarge.image(max_bytes)
    return Upload(request, data, request.sha256 or hashlib.sha256(data).hexdigest())


@contextmanager
def as_url_errors(url: str | None) -> Iterator[None]:
    """Convert UnsupportedMedia to UnusableUrl if the file came from an http or https URL."""
    try:
        yield
    except errors.UnsupportedMedia as error:
        if (url or "").lower().startswith("http"):
            raise errors.UnusableUrl(f"what the URL leads to is not an image: {error.detail}") from error
        raise
