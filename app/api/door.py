"""A front door: what the application must know of another program's protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint

from app.api.schemas import Problem

Shape = Callable[[Problem], tuple[dict[str, Any], dict[str, str]]]
"""Converts a problem to the JSON of another protocol's error, and headers for the response."""


@dataclass(frozen=True, slots=True)
class Door:
    """A front door.

    Attributes:
        blueprint: its routes.
        paths: what the OpenAPI description says of them, by path.
        prefixes: how the paths of its protocol begin. Paths without a route there get its errors, too.
        shape: of its errors; None for `application/problem+json`.
    """

    blueprint: Blueprint
    paths: dict[str, Any]
    prefixes: tuple[str, ...] = ()
    shape: Shape | None = None
