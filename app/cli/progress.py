"""How far a command is, on stderr: a bar on a terminal, and elsewhere a line every thirty seconds."""

import sys
import time
from types import TracebackType
from typing import Any, Self

_EVERY = 30.0
_CONTROL = {number: f"\\x{number:02x}" for number in (*range(32), 127)} | {10: r"\n", 9: r"\t", 13: r"\r"}


class Progress:
    """Counts inputs, and shows the counts. As a context manager it takes the bar away at the end."""

    def __init__(self, quiet: bool = False) -> None:
        self.found = 0
        """Inputs so far; all of them once `all_found`."""
        self.all_found = False
        self.done = 0
        """Results delivered in this run."""
        self.failed = 0
        self.passed_over = 0
        """Inputs that needed nothing: delivered before, with a result by others, or in work elsewhere."""
        self._quiet = quiet
        self._began = self._said = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("", total=None, failed="", rate="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self) -> None:
        """Count the time from now on: loading a model is no part of the rate."""
        self._began = self._said = time.monotonic()

    def say(self, message: str) -> None:
        """Print a message; control characters of file names become visible."""
        text = message.translate(_CONTROL).encode("utf-8", "backslashreplace").decode()
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def note(self, message: str) -> None:
        """Print a message, unless nothing but failures is wanted."""
        if not self._quiet:
            self.say(message)

    def show(self) -> None:
        """Show the counts as they are now. Called often."""
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=self.done + self.failed + self.passed_over,
                total=self.found if self.all_found else None,
                failed=f"{self.failed} failed" if self.failed else "",
                rate=f"{self.done / max(time.monotonic() - self._began, 0.1):.1f}/s",
            )
        elif not self._quiet and time.monotonic() > self._said + _EVERY:
            self._said = time.monotonic()
            self.say(self.line())

    def line(self) -> str:
        """Return the counts, the rate and the time left in one line."""
        through = self.done + self.failed + self.passed_over
        seconds = time.monotonic() - self._began
        rate = self.done / seconds if seconds else 0.0
        of = f"/{self.found}" if self.all_found else ""
        left = ""
        if self.all_found and rate and (more := self.found - through) > 0:
            left = f", {duration(more / rate)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{through}{of} done, {rate:.1f}/s{left}{failed}"

    def summary(self) -> str:
        """Return what has come of a run in one line."""
        seconds = time.monotonic() - self._began
        parts = [f"{self.done} done in {duration(seconds)}"]
        if self.done:
            parts.append(f"{self.done / seconds:.3g}/s")
        if self.passed_over:
            parts.append(f"{self.passed_over} needed nothing")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        console=Console(stderr=True),
    )


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
