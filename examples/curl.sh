#!/bin/sh
# The service with curl, from the project's directory: sh examples/curl.sh [SERVER]
set -eu
server=${1:-http://localhost:5000}

# Which models are there, and in what state.
curl -sS --fail-with-body "$server/models"
echo

# A file as a form: the whole answer, with lines, confidences and polygons.
curl -sS --fail-with-body -F image_file=@Input/note.png -F model=rapidocr "$server/generate-text"
echo

# The bytes as the body, and only the text back.
curl -sS --fail-with-body -H 'Accept: text/plain' --data-binary @Input/invoice.png "$server/generate-text?model=rapidocr"
echo

# An image inside JSON, as a data: URL.
printf '{"model": "rapidocr", "image_url": "data:image/jpeg;base64,%s"}' "$(base64 Input/sign.jpg | tr -d '\n')" |
    curl -sS --fail-with-body -H 'Content-Type: application/json' --data-binary @- "$server/generate-text"
echo
