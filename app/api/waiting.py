"""Waiting for an operation while its client is there."""

from typing import TypeVar

from flask import request

from app.errors import ClientGone
from app.operations import HEARTBEAT, Operation

_Result = TypeVar("_Result")


def result_of(operation: Operation[_Result]) -> _Result:
    """Wait for the result of an operation, and leave it.

    Raises:
        ClientGone: the client has hung up. An operation that nobody else waits for is cancelled.
        ServiceError: what the operation ended with.
    """
    try:
        while not operation.wait(HEARTBEAT):
            if client_gone():
                raise ClientGone("the client has gone")
        return operation.result()
    finally:
        operation.leave()


def client_gone() -> bool:
    """True once nobody waits for the answer any more, as far as the server can tell."""
    return bool(request.environ.get("waitress.client_disconnected", lambda: False)())
