"""Mends files that lack their end or have a damaged comment, if no pixel is missing.

Viewers show such files: a download that broke off at the last bytes, or a comment that a tool has changed. The defect
becomes a warning. A file that lacks pixels is not mended.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from app.errors import InvalidImage

WITHOUT_END = "the file is cut off at its end: no pixel is missing"
WITHOUT_DETAIL = "the JPEG is cut off: every pixel is there, without the finest detail"

_PNG = b"\x89PNG\r\n\x1a\n"
JPEG_END = b"\xff\xd9"
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_HUFFMAN_CODED = (0xC0, 0xC1, 0xC2)
_FRAMES = (*_HUFFMAN_CODED, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_FILLING = (bytes(64), b"\xaa" * 64, b"\x55" * 64, b"\xdb" * 64)
"""Bytes that replace a missing end. If the decoded pixels depend on them, pixels are missing. Their first two bits are
the four possible pairs, because a code that these bits complete may end a block, and later bits then have no effect."""
_BLOCK = 65_536


def possible_ends(data: bytes) -> Iterator[bytes]:
    """Yield a JPEG without its end marker, a GIF, a BMP or a TIFF with different ends.

    If all of them decode to the same pixels, no pixel is missing. The last block of a JPEG may still lack some detail.
    """
    is_jpeg = data[:2] == b"\xff\xd8"
    for filling in _FILLING:
        # Remove half a marker at the end, which would combine with the first byte of the filling.
        yield data.removesuffix(b"\xff") + filling + JPEG_END if is_jpeg else data + filling


class Scans(NamedTuple):
    """Which DCT coefficients the scans of a JPEG without its end marker hold.

    Attributes:
        whole: all, with all their bits, provided that the last scan is complete.
        covered: all, with some of their bits at least, provided that the last scan is complete.
        covered_before: all, with some of their bits at least, even without the last scan.
    """

    whole: bool
    covered: bool
    covered_before: bool


def scans_of(jpeg: bytes) -> Scans | None:
    """Return what the scans of a JPEG without an end marker hold; None for one with it, or of another coding.

    A progressive JPEG (ITU-T T.81, annex G) sends the coefficients of each component in several scans, the upper bits
    first. Each scan says which coefficients it holds, and how many bits are still to come.
    """
    missing_bits: dict[int, list[int | None]] = {}
    before = Scans(False, False, False)
    at, last = 2, before
    while found := _NEXT_MARKER.search(jpeg, at):
        at = found.end()
        marker = jpeg[at - 1]
        if marker == JPEG_END[1]:
            return None
        segment = jpeg[at + 2 : at + int.from_bytes(jpeg[at : at + 2])]
        if marker in _FRAMES:
            if marker not in _HUFFMAN_CODED:
                return None
            missing_bits = {segment[place]: [None] * 64 for place in range(6, len(segment) - 2, 3)}
        elif marker == 0xDA and len(segment) >= 4:
            before = last
            _note_scan(segment, missing_bits)
            known = [bits for component in missing_bits.values() for bits in component]
            covered = bool(known) and None not in known
            last = Scans(covered and not any(known), covered, before.covered)
        at += 2 + len(segment)
    return last


def _note_scan(header: bytes, missing_bits: dict[int, list[int | None]]) -> None:
    first, final, successive = header[-3:]
    for component in header[1:-3:2]:
        if component in missing_bits:
            for coefficient in range(first, min(final, 63) + 1):
                missing_bits[component][coefficient] = successive & 15


def mended_png(data: bytes, max_pixels: int) -> tuple[bytes, list[str]]:
    """Check the checksums of a PNG. Return it without ancillary chunks whose checksum is wrong, with the end that it
    lacks, and with warnings about both. An intact file is returned unchanged.

    Args:
        data: the file.
        max_pixels: the largest width times height whose pixels are checked.

    Raises:
        InvalidImage: the checksum of a critical chunk is wrong, or pixels are missing.
    """
    good: list[bytes] = []
    warnings: list[str] = []
    pixels: list[bytes] = []
    ended, at = False, len(_PNG)
    while not ended and re.fullmatch(rb"[A-Za-z]{4}", data[at + 4 : at + 8]):
        kind = data[at + 4 : at + 8]
        end = at + 8 + int.from_bytes(data[at : at + 4])
        whole = end + 4 <= len(data)
        if whole and zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            if kind[:1].isupper():
                raise InvalidImage(f"the image is broken: the checksum of {_named(kind)} is wrong")
            warnings.append(f"the checksum of {_named(kind)} in the PNG is wrong: it is left out")
        elif kind == b"IDAT":
            pixels.append(data[at + 8 : end])
            good.append(b"")
        elif whole:
            good.append(data[at : end + 4])
        ended = whole and kind == b"IEND"
        at = end + 4
    if ended and not warnings:
        return data, []
    content = b"".join(pixels)
    if not ended:
        content = _whole_pixels(content, data, max_pixels)
        warnings.append(WITHOUT_END)
        good.append(_chunk(b"IEND", b""))
    # Insert the pixels in place of the first of their chunks.
    first = good.index(b"") if b"" in good else len(good)
    return b"".join([_PNG, *good[:first], _chunk(b"IDAT", content), *good[first:]]), warnings


def _named(kind: bytes) -> str:
    what = {b"IDAT": "its pixels", b"IHDR": "its header", b"PLTE": "its palette", b"IEND": "its end"}
    return what.get(kind, f"the chunk {kind.decode()}")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))


def _whole_pixels(content: bytes, png: bytes, max_pixels: int) -> bytes:
    """Return the compressed pixels of a PNG that is cut off, with the checksum at their end.

    Raises:
        InvalidImage: pixels are missing.
    """
    size = _size_of_pixels(png, max_pixels)
    decompressor = zlib.decompressobj()
    found, checksum = 0, 1
    try:
        for block in _decompressed(decompressor, content):
            found, checksum = found + len(block), zlib.adler32(block, checksum)
            if found > size:
                break
    except zlib.error as error:
        raise InvalidImage("the image is broken or cut off and cannot be decoded") from error
    for missing in range(5):
        tail = struct.pack(">I", checksum)[4 - missing :]
        if size and found == size and _ends_with(decompressor, tail):
            return content + tail
    raise InvalidImage("the image is cut off: pixels are missing")


def _decompressed(decompressor: "zlib._Decompress", content: bytes) -> Iterator[bytes]:
    """Yield the decompressed bytes in blocks. The input is passed in blocks too, because zlib copies unread input."""
    for start in range(0, len(content), _BLOCK):
        rest = content[start : start + _BLOCK]
        while rest:
            yield decompressor.decompress(rest, _BLOCK)
            rest = decompressor.unconsumed_tail
    while block := decompressor.decompress(b"", _BLOCK):
        yield block


def _ends_with(decompressor: "zlib._Decompress", tail: bytes) -> bool:
    if decompressor.eof:
        return not tail
    after = decompressor.copy()
    try:
        after.decompress(tail, 1)
    except zlib.error:
        return False
    return after.eof


def _size_of_pixels(png: bytes, max_pixels: int) -> int:
    """Return the number of bytes of the uncompressed pixels, with a filter byte for each row; 0 if it is not known. PNG
    specification, sections 7.2 and 8.2."""
    if len(png) < 33:
        return 0
    width, height, depth, colours, interlaced = struct.unpack(">IIBBxxB", png[16:29])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 0)
    if width * height > max_pixels:
        return 0
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    size = 0
    for left, top, across, down in passes:
        columns, rows = -(-max(width - left, 0) // across), -(-max(height - top, 0) // down)
        size += rows * (1 + -(-columns * samples * depth // 8)) if columns else 0
    return size


def mended_webp(data: bytes) -> bytes | None:
    """Return a WebP without the chunk in which it is cut off, if that is metadata or a later frame; None otherwise.

    The WebP container: https://developers.google.com/speed/webp/docs/riff_container.
    """
    kinds: list[bytes] = []
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            break
        kinds.append(data[at : at + 4])
        at = end + end % 2
    if not {b"VP8 ", b"VP8L", b"ANMF"} & set(kinds):
        return None
    parts = data[12:at].ljust(at - 12, b"\0")
    mended = b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WEBP" + parts
    return mended if mended != data else None
