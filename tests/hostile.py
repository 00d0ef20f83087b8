"""Files built to do harm: each makes a decoder run for long, take much memory, or trip."""

import io
import struct
import zlib

from PIL import Image


def nested_pdf(depth: int = 12, width: int = 10) -> bytes:
    """Return a PDF of two kilobytes whose page draws width ** depth squares: forms that draw forms, some times each."""
    last = depth + 4
    forms = [
        _stream(
            f"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F {number + 1} 0 R >> >>",
            b"/F Do " * width,
        )
        for number in range(5, last)
    ]
    return _pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>",
        _stream("", b"/F Do"),
        *forms,
        _stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9]", b"0 0 9 9 re f"),
    )


def _stream(entries: str, content: bytes) -> bytes:
    return f"<< {entries} /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream"


def _pdf(*objects: bytes) -> bytes:
    data, offsets = b"%PDF-1.6\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>"
    return data + f"{end}\nstartxref\n{len(data)}\n%%EOF\n".encode()


def exif_in_pieces(count: int = 2500) -> bytes:
    """Return a JPEG whose Exif comes in so many segments of 64 kB: joined one by one, each copies those before."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    piece = b"Exif\0\0" + bytes(65_500)
    return jpeg[:2] + (b"\xff\xe1" + struct.pack(">H", len(piece) + 2) + piece) * count + jpeg[2:]


def tiff_of_a_huge_tile(side: int = 65_520) -> bytes:
    """Return a TIFF of 16 x 16 pixels in one tile of `side` x `side`."""
    pixels = zlib.compress(bytes(256))
    entries = [(256, 4, 16), (257, 4, 16), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    entries += [(322, 4, side), (323, 4, side), (324, 4, 134), (325, 4, len(pixels))]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return struct.pack("<4sIH", b"II*\0", 8, len(entries)) + table + bytes(4) + pixels


def tiff_of_many_frames(count: int = 60_000) -> bytes:
    """Return a TIFF with so many frames of one pixel, which share it."""
    entries = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 3, 8), (277, 3, 1), (279, 3, 1)]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    size = 2 + len(table) + 4
    nexts = [10 + size * (number + 1) for number in range(count - 1)] + [0]
    frames = (struct.pack("<H", len(entries)) + table + struct.pack("<I", following) for following in nexts)
    return struct.pack("<4sI", b"II*\0", 10) + b"\xff\0" + b"".join(frames)
