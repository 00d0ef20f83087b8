"""Let the service fetch an image by its URL, and print its text.

python examples/request_url.py https://example.org/photo.jpg
"""

import argparse
import sys

import requests

parser = argparse.ArgumentParser(description="Let the service fetch an image by its URL, and print its text.")
parser.add_argument("url", help="http, https or data: URL of the image")
parser.add_argument("--model", default="auto", help="name of the model (default: %(default)s)")
parser.add_argument("--server", default="http://localhost:5000", help="address of the service (default: %(default)s)")
arguments = parser.parse_args()

try:
    response = requests.post(
        f"{arguments.server}/generate-text",
        json={"image_url": arguments.url, "model": arguments.model},
        timeout=300,
    )
except OSError as error:  # the service cannot be reached
    sys.exit(str(error))
if not response.ok:
    # Every error says what to do, as application/problem+json.
    sys.exit(f"{response.status_code}: {response.json()['detail']}")
print(response.json()["text"])
