"""Images that were saved, and what is said of them."""

import hashlib
from collections.abc import Callable

import pytest
from PIL import Image

from tests.app.api.test_native import assert_problem
from tests.conftest import encoded
from tests.server import Server

HTML_JPEG = encoded(Image.new("RGB", (40, 30), "teal"), "JPEG", comment=b"<script>alert(1)</script>")


def test_an_upload_is_served_as_the_bytes_that_came_and_removed(make_server: Callable[..., Server]) -> None:
    server = make_server()
    saved_as = [server.generate(HTML_JPEG, model="rapidocr").json()["image"]["saved_as"] for _ in range(2)]
    name = f"{hashlib.sha256(HTML_JPEG).hexdigest()}.jpg"
    assert saved_as == [f"images/{name}"] * 2
    assert [file.name for file in (server.directory / "images").iterdir()] == [name]
    response = server.get(f"/images/{name}")
    assert response.content == HTML_JPEG
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Content-Disposition"].startswith("attachment")
    import requests

    assert requests.delete(f"{server.url}/images/{name}", timeout=30).status_code == 204
    assert_problem(requests.delete(f"{server.url}/images/{name}", timeout=30), 404)
    assert_problem(server.get(f"/images/{name}"), 404)
    assert list((server.directory / "images").iterdir()) == []


@pytest.mark.parametrize("name", ["..%2f..%2frun.py", "x.png", "%2e%2e", "a" * 64 + ".png", "%00", "..%5cx"])
def test_no_other_file_is_served(server: Server, name: str) -> None:
    assert_problem(server.get(f"/images/{name}"), 404)


def test_uploads_need_not_be_saved(make_server: Callable[..., Server]) -> None:
    server = make_server(save_uploads="false")
    assert "saved_as" not in server.generate(HTML_JPEG, model="rapidocr").json()["image"]
    assert not (server.directory / "images").exists()
    assert_problem(server.get(f"/images/{hashlib.sha256(HTML_JPEG).hexdigest()}.jpg"), 404)
