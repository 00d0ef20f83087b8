"""The errors of models. Their messages may be shown to clients."""


class ModelError(Exception):
    """A job or a model that cannot be served. The message may be shown to clients."""


class UnknownModel(ModelError):
    """No model of that name is in the registry."""


class InvalidJob(ModelError):
    """The model cannot do this job: its prompt contains a special token, or it needs more tokens than are possible."""


class ModelUnavailable(ModelError):
    """The model cannot answer now, but may after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 30.0) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class BudgetExhausted(ModelUnavailable):
    """Models in use fill the memory budget. The model itself has not failed, and may be loaded later."""


_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't alloc",
    "cannot allocate",
    "could not allocate",
    "failed to alloc",
    "bad_alloc",
)
"""Parts of the messages of torch and OpenVINO when memory does not suffice."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for what Python, torch and OpenVINO raise when memory does not suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    return any(words in message for words in _NO_MEMORY)
