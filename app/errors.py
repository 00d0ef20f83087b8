"""The errors that a request can end with, as clients see them.

Every error has a code, an HTTP status and a title. `detail` says what to do and is safe to show: it contains no path,
no address and no traceback. Errors can be pickled, because an engine may run in another process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from models.errors import InvalidJob, ModelError, ModelUnavailable, UnknownModel

RETRY_AFTER = 5.0
"""Seconds after which a client may ask again where something is busy, and nothing tells how long."""


class ServiceError(Exception):
    """Base of all errors that clients see. `retry_after` is in seconds."""

    code = "internal-error"
    status = 500
    title = "Internal error"

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after)
        self.detail = detail
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.detail


class BadRequest(ServiceError):
    """The request cannot be understood: broken JSON, no image, two images, a field twice."""

    code = "bad-request"
    status = 400
    title = "Bad request"


class Unauthorized(ServiceError):
    """The service has keys, and the request carries none of them."""

    code = "unauthorized"
    status = 401
    title = "Key needed"


class ForeignOrigin(ServiceError):
    """A page of another origin posts to this service from a browser."""

    code = "foreign-origin"
    status = 403
    title = "Foreign origin"


class DownloadForbidden(ServiceError):
    """A model is not on the machine, and the caller may not have it downloaded."""

    code = "download-forbidden"
    status = 403
    title = "Download not allowed"


class NotFound(ServiceError):
    """No such model, image or route."""

    code = "not-found"
    status = 404
    title = "Not found"


class ModelNotFound(NotFound):
    """No model of that name."""

    code = "unknown-model"
    title = "Unknown model"


class TooLarge(ServiceError):
    """The request is larger than the limits."""

    code = "too-large"
    status = 413
    title = "Too large"

    @classmethod
    def image(cls, most: int) -> Self:
        """Return the error of an image of more bytes than allowed."""
        return cls(f"the image is larger than {most} bytes: make it smaller, or see MAX_UPLOAD_MB")


class UnsupportedMedia(ServiceError):
    """Not an image, or one of a format that is not read here, or a body of the wrong type."""

    code = "unsupported-media-type"
    status = 415
    title = "Unsupported media type"


class InvalidImage(ServiceError):
    """An image that is broken, or too large to decode."""

    code = "invalid-image"
    status = 422
    title = "Invalid image"


class InvalidOption(ServiceError):
    """An option that does not exist, or a value out of its range."""

    code = "invalid-option"
    status = 422
    title = "Invalid option"


class UnmetSchema(InvalidOption):
    """A JSON schema that asks for what the model does not tell."""

    code = "unmet-schema"


class ForbiddenUrl(ServiceError):
    """An `image_url` that this service does not fetch."""

    code = "forbidden-url"
    status = 422
    title = "URL not allowed"


class UnusableUrl(ServiceError):
    """An `image_url` whose server refuses, or does not answer with an image within the limits."""

    code = "unusable-url"
    status = 422
    title = "No image at the URL"


class ClientGone(ServiceError):
    """The client has disconnected. The status is nginx's, for the log."""

    code = "client-gone"
    status = 499
    title = "Client gone"


class ModelBusy(ServiceError):
    """A model that is in use cannot be unloaded."""

    code = "model-busy"
    status = 409
    title = "Model in use"


class NotAcceptable(ServiceError):
    """The client accepts none of the formats that answers have."""

    code = "not-acceptable"
    status = 406
    title = "Not acceptable"


class QueueFull(ServiceError):
    """The queue of a model is full, or too many requests are in work."""

    code = "queue-full"
    status = 429
    title = "Too many requests"


class RateLimited(ServiceError):
    """A client exceeds its rate limit."""

    code = "rate-limited"
    status = 429
    title = "Too many requests"


class PredictionFailed(ServiceError):
    """A model raised; the log has the reason."""

    code = "prediction-failed"
    status = 500
    title = "Prediction failed"


class UpstreamFailed(ServiceError):
    """The server behind an `image_url` cannot be reached, or breaks off."""

    code = "upstream-failed"
    status = 502
    title = "Upstream failed"


class Unavailable(ServiceError):
    """The model, or the service, cannot answer now."""

    code = "unavailable"
    status = 503
    title = "Unavailable"


class ShuttingDown(Unavailable):
    """The service is shutting down, and accepts no more requests."""

    def __init__(self, detail: str = "the service is shutting down", retry_after: float | None = 5.0) -> None:
        super().__init__(detail, retry_after)


class QueueTimeout(Unavailable):
    """The request waited its whole deadline for a model that was busy."""

    code = "queue-timeout"
    title = "Waited too long"


class UpstreamTimeout(ServiceError):
    """The server behind an `image_url` took longer than the deadline."""

    code = "upstream-timeout"
    status = 504
    title = "Upstream timeout"


class StorageFailed(ServiceError):
    """An image cannot be saved or removed."""

    code = "storage-failed"
    status = 507
    title = "Storage failed"


class StorageFull(StorageFailed):
    """The disk or the store has no space for an image."""

    code = "storage-full"
    title = "Storage full"


@contextmanager
def as_service_errors() -> Iterator[None]:
    """Convert the errors of models and of the registry to errors with a status."""
    try:
        yield
    except UnknownModel as error:
        raise ModelNotFound(str(error)) from error
    except ModelUnavailable as error:
        raise Unavailable(str(error), error.retry_after) from error
    except InvalidJob as error:
        raise InvalidOption(str(error)) from error
    except ModelError as error:
        raise PredictionFailed(str(error)) from error
