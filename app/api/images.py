"""GET and DELETE /images/<name>: the images that were kept."""

from pathlib import Path

from flask import Blueprint, Response, send_file

from app.errors import NotFound
from app.service import Service
from app.storage.base import Store


def blueprint(service: Service) -> Blueprint:
    """Return the routes of saved images."""
    saved = Blueprint("saved", __name__)

    def store() -> Store:
        if service.store is None:
            raise NotFound("no images are kept here (SAVE_UPLOADS=false)")
        return service.store

    @saved.get("/images/<name>")
    def get_image(name: str) -> Response:
        """Return a saved image, as the bytes that were uploaded."""
        found = store().find(name)
        try:
            # Flask takes a relative path for one below the application.
            sent = found.resolve() if isinstance(found, Path) else found
            response = send_file(sent, as_attachment=True, download_name=name)
        except FileNotFoundError as error:
            raise NotFound(f"the image {name!r} has just been removed") from error
        # The bytes are untrusted, and may also be valid HTML: no browser may run them.
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    @saved.delete("/images/<name>")
    def delete_image(name: str) -> Response:
        """Remove a saved image."""
        store().delete(name)
        return Response(status=204)

    return saved
