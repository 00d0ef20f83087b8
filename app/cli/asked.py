"""What was asked on the command line of `caption`, `read`, `tags`, `alt` and `run`. Imports nothing heavy."""

from dataclasses import dataclass, fields
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments and options, by their names in the parser; `options` has those of `POST /generate-text`."""

    paths: tuple[str, ...]
    options: dict[str, Any]
    recursive: bool
    files_from: str | None
    null: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    follow_symlinks: bool
    shard: tuple[int, int]
    limit: int | None
    server: str | None
    jobs: int
    api_key: str | None
    ray: bool
    ray_workers: int | None
    format: tuple[str, ...]
    output: str | None
    sidecar: tuple[str, ...]
    write_metadata: bool
    no_backup: bool
    if_exists: Literal["skip", "overwrite", "fail"]
    only_missing: bool
    journal: str | None
    retry_failed: bool
    failed: str | None
    max_pages: int | None
    max_mb: float | None
    max_pixels: int | None
    watch: tuple[str, ...]
    dry_run: bool
    quiet: bool
    fail_fast: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Sort what the parser found: what is no field of this class is an option of the service."""
        own = {field.name for field in fields(cls)} - {"options"}
        options = {name: value for name, value in given.items() if name not in own}
        return cls(options=options, **{name: value for name, value in given.items() if name in own})
