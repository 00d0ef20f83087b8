"""Send an image file to the service and print its text.

python examples/request_upload.py Input/invoice.png --model rapidocr
"""

import argparse
import sys

import requests

parser = argparse.ArgumentParser(description="Send an image file to the service and print its text.")
parser.add_argument("image", help="path of the image")
parser.add_argument("--model", default="auto", help="name of the model (default: %(default)s)")
parser.add_argument("--server", default="http://localhost:5000", help="address of the service (default: %(default)s)")
arguments = parser.parse_args()

try:
    with open(arguments.image, "rb") as image:
        response = requests.post(
            f"{arguments.server}/generate-text",
            files={"image_file": image},
            data={"model": arguments.model},
            timeout=300,
        )
except OSError as error:  # the file cannot be read, or the service not be reached
    sys.exit(str(error))
if not response.ok:
    # Every error says what to do, as application/problem+json.
    sys.exit(f"{response.status_code}: {response.json()['detail']}")
print(response.json()["text"])
