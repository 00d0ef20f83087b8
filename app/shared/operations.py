"""Operations that clients find by id at any copy: the copy that works on one tells the others how far it is."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from app.errors import NotFound, Unavailable
from app.shared import wire
from app.shared.state import PAUSE, SharedState
from app.types import Answer, Progress, Stage

MAX_BYTES = 100_000_000
"""The largest result that is shared; a larger one is found at its own copy alone."""
_POLL = 0.25
_UNANSWERED: dict[Any, Any] = {}
"""The answer while Redis is silent, told by its identity from that of an operation that is not there."""


Found = TypeVar("Found", covariant=True)


class FoundOperation(Protocol[Found]):
    """An operation as those see it who find it by its id: one of this copy of the service, or of another. The members
    are those of `app.operations.Operation`."""

    id: str

    @property
    def created(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def done(self) -> bool: ...
    @property
    def failed(self) -> bool: ...
    @property
    def begun(self) -> bool: ...
    def latest(self, stage: Stage) -> Progress | None: ...
    def wait(self, seconds: float) -> bool: ...
    def result(self) -> Found: ...


class Shared(Protocol):
    """An operation, as other copies hear of it."""

    id: str
    created: datetime
    updated_at: datetime

    def stages(self) -> Mapping[Stage, Progress]:
        """Return the latest progress of each stage."""

    def outcome(self) -> Any:
        """Return the result or the error; None while there is neither."""


class SharedOperations:
    """Tells other copies of operations, and finds those of other copies."""

    def __init__(self, state: SharedState, keep_seconds: float) -> None:
        self._state = state
        self._keep = round(keep_seconds)
        state.live()

    def exchange(self, operation: Shared) -> bool:
        """Tell the other copies how far an operation is, and its result once there is one. Return False, and tell
        nothing, if one of them has forgotten it."""
        if self._is_forgotten(operation.id):
            return False
        self._tell(operation)
        return True

    def _tell(self, operation: Shared) -> None:
        outcome = operation.outcome()
        told: dict[str, Any] = {
            "copy": self._state.copy,
            "created": operation.created.timestamp(),
            "updated_at": operation.updated_at.timestamp(),
            "stages": {stage: [one.done, one.found, one.position] for stage, one in operation.stages().items()},
            "done": outcome is not None,
        }
        fields: dict[str, bytes] = {}
        if isinstance(outcome, BaseException):
            told["error"] = wire.dump_error(outcome)
        elif isinstance(outcome, bytes):
            fields["bytes"] = outcome
        elif isinstance(outcome, Answer):
            fields["answer"] = wire.dump(outcome)
            if outcome.export is not None:
                fields["export"] = outcome.export
        if sum(map(len, fields.values())) > MAX_BYTES:
            large = NotFound(f"the result is larger than {MAX_BYTES / 1e6:g} MB, and only the copy that made it has it")
            fields, told["error"] = {}, wire.dump_error(large)
        fields["told"] = json.dumps(told).encode()
        name = self._name(operation.id)

        def write(redis: Any) -> None:
            redis.pipeline().hset(name, mapping=fields).expire(name, self._keep).execute()

        self._state.ask(write, None)

    def find(self, operation_id: str, here: FoundOperation[Any] | None) -> FoundOperation[Any] | None:
        """Return an operation of this copy, given as `here`, or of another; None if there is none, if it was forgotten,
        or if its copy ended before it.

        Raises:
            Unavailable: Redis does not answer.
        """
        if here is not None:
            return None if self._is_forgotten(operation_id) else here
        told = self.read(operation_id)
        return None if told is None else RemoteOperation(self, operation_id, told)

    def forget(self, operation_id: str) -> None:
        """Remove an operation, and have the copy that works on it cancel it."""
        mark, keep = self._name(operation_id, "forgotten"), self._keep
        self._state.ask(lambda redis: redis.set(mark, "1", ex=keep), None)
        self._state.ask(lambda redis: redis.delete(self._name(operation_id)), 0)

    def read(self, operation_id: str) -> dict[str, Any] | None:
        """Return what is told of an operation; None if there is none, or its copy ended before it.

        Raises:
            Unavailable: Redis does not answer.
        """
        told = self._fields(operation_id, "told")["told"]
        found: dict[str, Any] | None = None if told is None else json.loads(told)
        if found is not None and not found["done"] and not self._state.lives(found["copy"]):
            return None
        return found

    def result(self, operation_id: str) -> Answer | bytes | None:
        """Return the result of an operation; None if it was removed.

        Raises:
            Unavailable: Redis does not answer.
        """
        fields = self._fields(operation_id, "answer", "export", "bytes")
        if fields["answer"] is None:
            return fields["bytes"]
        answer = wire.load(fields["answer"])
        return replace(answer, export=fields["export"]) if isinstance(answer, Answer) else None

    def _is_forgotten(self, operation_id: str) -> bool:
        mark = self._name(operation_id, "forgotten")
        return self._state.ask(lambda redis: bool(redis.exists(mark)), False)

    def _fields(self, operation_id: str, *names: str) -> dict[str, bytes | None]:
        key = self._name(operation_id)
        found: Any = self._state.ask(lambda redis: dict(zip(names, redis.hmget(key, names), strict=True)), _UNANSWERED)
        if found is _UNANSWERED:
            raise Unavailable("what the copies of this service share cannot be reached: try again later", PAUSE)
        return dict(found)

    def _name(self, operation_id: str, what: str = "operation") -> str:
        return self._state.key(what, str(wire.FORMAT), operation_id)


class RemoteOperation:
    """An operation that another copy works on, as that copy told of it last."""

    def __init__(self, shared: SharedOperations, operation_id: str, told: dict[str, Any]) -> None:
        self.id = operation_id
        self._shared = shared
        self._told = told
        self._result: Answer | bytes | None = None

    @property
    def created(self) -> datetime:
        """When it was begun."""
        return datetime.fromtimestamp(self._told["created"], UTC)

    @property
    def updated_at(self) -> datetime:
        """When it reported progress last."""
        return datetime.fromtimestamp(self._told["updated_at"], UTC)

    @property
    def done(self) -> bool:
        """True once there is a result or an error."""
        return bool(self._told["done"])

    @property
    def failed(self) -> bool:
        """True once there is an error."""
        return "error" in self._told

    @property
    def begun(self) -> bool:
        """True once the work has told how far it is."""
        return bool(self._told["stages"])

    def latest(self, stage: Stage) -> Progress | None:
        """Return the latest progress of a stage; None if there is none."""
        told = self._told["stages"].get(stage)
        return Progress(stage, *told) if told else None

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` until the operation is done. Return whether it is."""
        end = time.monotonic() + seconds
        while not self.done and time.monotonic() < end:
            time.sleep(min(_POLL, max(end - time.monotonic(), 0.0)))
            self._told = self._shared.read(self.id) or self._gone()
        return self.done

    def result(self) -> Any:
        """Wait until the operation is done, then return its result or raise its error."""
        while not self.wait(_POLL):
            continue
        if self.failed:
            raise wire.load_error(self._told["error"])
        if self._result is None:
            self._result = self._shared.result(self.id)
        return self._gone() if self._result is None else self._result

    def _gone(self) -> Any:
        raise NotFound("the copy of the service that worked on this ended before it: send the document again")
