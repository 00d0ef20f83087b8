"""A client in Python, to copy: python examples/client.py Input/sign.jpg --server=http://localhost:5000"""

import sys

import requests


class Client:
    def __init__(self, server: str = "http://localhost:5000", key: str | None = None) -> None:
        self.server, self.session = server, requests.Session()
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def generate(self, path: str, **options: object) -> dict:
        """Return the answer for an image; options as in the README: model, tags, pages, ..."""
        with open(path, "rb") as image:
            form = {"files": {"image_file": image}, "data": options, "timeout": 300}
            response = self.session.post(f"{self.server}/generate-text", **form)
        if not response.ok:
            raise RuntimeError(response.json()["detail"])
        return response.json()


if __name__ == "__main__":
    servers = [argument.removeprefix("--server=") for argument in sys.argv[1:] if argument.startswith("--server=")]
    client = Client(*servers)
    for image in sys.argv[1:]:
        if not image.startswith("--"):
            print(client.generate(image, model="rapidocr")["text"])
