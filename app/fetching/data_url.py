"""`data:` URLs: images that are their own address."""

import base64
from urllib.parse import unquote_to_bytes

from app.errors import BadRequest, TooLarge

_CHUNK = 65_536


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """Return the bytes that a `data:` URL holds.

    Raises:
        BadRequest: no comma, bad base64, or half a surrogate pair.
        TooLarge: more than `max_bytes`.
    """
    header, comma, payload = url.partition(",")
    if not comma:
        raise BadRequest("the data: URL has no comma before its data")
    in_base64 = header.lower().endswith(";base64")
    # Refused by its length before it is decoded: %2B is one character, four characters of base64 hold three bytes.
    length = len(payload) - 2 * payload.count("%")
    if (length // 4 * 3 if in_base64 else length) > max_bytes + 3:
        raise TooLarge.image(max_bytes)
    try:
        data = unquoted(payload)
        if in_base64:
            data = base64.b64decode(data, validate=True)
    except ValueError as error:
        # Not base64, or half a surrogate pair, which JSON can hold and UTF-8 cannot.
        raise BadRequest("the data: URL is not valid base64, or not text") from error
    if len(data) > max_bytes:
        raise TooLarge.image(max_bytes)
    return data


def unquoted(text: str) -> bytes:
    """Undo percent-encoding, piece by piece: `unquote_to_bytes` takes two hundred bytes of memory for an escape."""
    pieces = []
    start = 0
    while start < len(text):
        end = start + _CHUNK
        # Cut before an escape, not within.
        if (escape := text.rfind("%", end - 2, end)) != -1:
            end = escape
        pieces.append(unquote_to_bytes(text[start:end]))
        start = end
    return b"".join(pieces)
