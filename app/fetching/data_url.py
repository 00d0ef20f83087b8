"""`data:` URLs, which contain the image, and the encodings in them."""

import base64
import re
import sys
from urllib.parse import unquote_to_bytes

from app.errors import BadRequest, TooLarge

_CHUNK = 65_536
_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
_LINE_BREAKS = b"\t\n\v\f\r"


def is_data_url(text: str) -> bool:
    """True for a `data:` URL. White space before a URL does not count, as in browsers."""
    return text[:100].lstrip()[:5].lower() == "data:"


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """Return the bytes that a `data:` URL holds.

    Raises:
        BadRequest: no comma, bad base64, or half a surrogate pair.
        TooLarge: more than `max_bytes`.
    """
    header, comma, payload = url.partition(",")
    if not comma:
        raise BadRequest("the data: URL has no comma before its data")
    try:
        data = unquoted(payload)
    except ValueError as error:
        # Half a surrogate pair, which JSON can hold and UTF-8 cannot.
        raise BadRequest("the data: URL is not text") from error
    if "".join(header[-100:].lower().split()).endswith(";base64"):
        return decode_base64(data, max_bytes)
    if len(data) > max_bytes:
        raise TooLarge.image(max_bytes)
    return data


def decode_base64(text: bytes, max_bytes: int = sys.maxsize) -> bytes:
    """Decode base64, in all variants that encoders and forms produce.

    The alphabet is the standard or the URL-safe one (RFC 4648, sections 4 and 5), padding may be missing, and line
    breaks are skipped. A space is white space, or a "+" that was decoded as in a form.

    Raises:
        BadRequest: other characters, data after padding, or an impossible length.
        TooLarge: more than `max_bytes`.
    """
    text = text.strip()
    if b" " in text:
        text = _without_spaces(text)
    digits = text.translate(_STANDARD_ALPHABET, _LINE_BREAKS).rstrip(b"=")
    # Four characters hold three bytes. Checked before decoding, which takes memory.
    if len(digits) * 3 // 4 > max_bytes:
        raise TooLarge.image(max_bytes)
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError as error:
        raise BadRequest("the base64 holds other characters, or is cut off: encode the image anew") from error


def _without_spaces(text: bytes) -> bytes:
    """Remove the spaces of base64, or turn each back into a "+", whichever gives a valid length."""
    lines = text.translate(None, _LINE_BREAKS)
    left_out, plus = lines.replace(b" ", b""), lines.replace(b" ", b"+")
    if any(sign in text for sign in b"+-_"):
        # Decoding a form would have turned this "+" into a space too, and the URL-safe alphabet has no "+".
        return left_out
    width = lines.find(b" ")
    wrapped = width % 4 == 0 and lines[width :: width + 1] == b" " * lines.count(b" ")
    indented = not re.search(rb"\S +\S", text)
    readings = [left_out, plus] if wrapped or indented else [plus, left_out]
    # Take the first reading, unless only the second has a valid length.
    return min(readings, key=_has_wrong_length)


def _has_wrong_length(base64: bytes) -> bool:
    return len(base64) % 4 != 0 if base64.endswith(b"=") else len(base64) % 4 == 1


def unquoted(text: str) -> bytes:
    """Undo percent-encoding in chunks, because `unquote_to_bytes` takes two hundred bytes of memory for each escape."""
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
