"""GET /: the page for people; and the sample images that it offers. Its other files lie in `static/`."""

import io
import mimetypes
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Blueprint, Response, abort, render_template, request, send_file
from PIL import Image

_SAMPLES_DIR = Path(__file__).resolve().parents[2] / "Input"
_MODULES_DIR = Path(__file__).parents[1] / "static" / "page"
_IMPORT = re.compile(r'^import .* from "\./(.+)";$', re.MULTILINE)
_THUMBNAIL = (240, 180)
_DAY = 86_400

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # blob: the pictures that the person chose, which the page shows without sending them anywhere.
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No script of the page may turn text into markup.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

# Windows may have registered another type for .js, with which browsers refuse to run modules.
mimetypes.add_type("text/javascript", ".js")


TASKS = {
    "describe": "Describe",
    "boxes": "Describe with boxes",
    "objects": "Find objects",
    "print": "Read print",
    "handwriting": "Read handwriting",
    "tags": "Tags",
    "alt": "Alt text",
    "ask": "Ask",
}
"""The labels of the tasks that the page offers, by the names under which `tasks.js` lists the models for them."""


class Sample(NamedTuple):
    """A picture to try the service with, and the task of the page that suits it."""

    name: str
    label: str
    task: str


SAMPLES = (
    Sample("scene.jpg", "A walk by the lake", "describe"),
    Sample("note.png", "A handwritten note", "handwriting"),
    Sample("invoice.png", "An invoice", "print"),
    Sample("sign.jpg", "A station sign", "alt"),
    Sample("chart.png", "A bar chart", "print"),
)


def blueprint(max_upload_bytes: int, image_formats: Sequence[str], max_pages: int) -> Blueprint:
    """Return the routes of the page. The page knows the limits, and checks them before it sends an image."""
    ui = Blueprint("ui", __name__)
    # The page preloads all modules: otherwise each would wait until the module that imports it has loaded.
    modules = _with_imports("main.js", [])

    @ui.get("/")
    def page() -> Response:
        """Return the page."""
        html = render_template(
            "page.html",
            tasks=TASKS.items(),
            samples=SAMPLES,
            modules=modules,
            max_upload_bytes=max_upload_bytes,
            image_formats=image_formats,
            max_pages=max_pages,
        )
        return Response(html, mimetype="text/html", headers=_HEADERS)

    @ui.get("/static/samples/<name>")
    def sample(name: str) -> Response:
        """Return a sample image; with `?small`, one of a few kilobytes."""
        if name not in (sample.name for sample in SAMPLES):
            abort(404)
        if "small" in request.args:
            return send_file(io.BytesIO(_thumbnail(name)), "image/webp", max_age=_DAY)
        return send_file(_SAMPLES_DIR / name, max_age=_DAY)

    return ui


def _with_imports(module: str, found: list[str]) -> list[str]:
    """Add a module of the page and all modules that it imports to `found`, and return `found`."""
    if module not in found:
        found.append(module)
        for imported in _IMPORT.findall((_MODULES_DIR / module).read_text(encoding="utf-8")):
            _with_imports(imported, found)
    return found


@cache
def _thumbnail(name: str) -> bytes:
    """Return a sample image, scaled down and encoded as WebP."""
    buffer = io.BytesIO()
    with Image.open(_SAMPLES_DIR / name) as image:
        image.thumbnail(_THUMBNAIL)
        image.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()
