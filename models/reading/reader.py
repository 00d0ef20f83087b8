"""Reads a page with RapidOCR's networks (PP-OCR) on OpenVINO: fragments, their text, lines in reading order.

RapidOCR provides the networks and the detector's postprocessing. This package does the rest: it chooses the detector's
scale, crops fragments, restores spaces, joins and orders lines, and turns pages upright.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.backends.threads import TURN
from models.reading import leaders
from models.reading.amounts import EMPTY, TICKED, kinds_of
from models.reading.checkboxes import erase, find_checkboxes, owners
from models.reading.crops import Floats, Pixels, cut, has_ink, turn, turn_boxes
from models.reading.ctc import Reading
from models.reading.detection import find_fragments
from models.reading.geometry import TALL, is_line_crop, longest, on_its_side, sides, turn_back
from models.reading.layout import Layout, TextLine, arrange, line_polygon
from models.reading.lone import with_lone_characters
from models.reading.marks import begun_by_marks
from models.reading.pieces import Pieces, cut_pieces
from models.reading.raised import raised
from models.reading.recogniser import PRINT, Recogniser, compiled, core
from models.reading.runs import runs
from models.reading.scripts import unknown_script
from models.reading.second_look import TwoLooks
from models.reading.struck import SURE, UNSURE, unstruck
from models.reading.underscores import counted, with_underscores
from models.reading.widths import plain_widths
from models.reading.zeros import letters_for_zeros, zeros_for_letters

DETECTOR = "PP-OCRv6_det_small.onnx"
UNCLIP_RATIO = 1.5  # how far a fragment reaches beyond the detector's core; more lets neighbours in and costs accuracy
BOX_THRESHOLD = 0.4
CANDIDATES = 10_000  # fragments on one page
LEAST_CONFIDENCE = 0.5  # less is no text
SHORT_TEXT = 2  # a line of so few characters must be surer: specks and textures look like single characters
SHORT_CONFIDENCE = 0.9
NARROW = 0.6  # width of a fragment, in heights of the others, from which it may be a line on its side
AROUND = 0.1  # paper around what is cut from a line with a leader, in heights
WHOLE = np.array([[0.0, 1.0]])  # the runs of a fragment without gaps
SAMPLES = 6  # fragments that decide which way up a page is, and its script
UPSIDE_DOWN = 0.75  # least confidence of their readings for a page to be turned by 180 degrees


@dataclass(frozen=True)
class Line:
    """A line of text as it was read."""

    text: str
    confidence: float  # 0..1
    polygon: Floats  # (4, 2), fractions of the image's width and height
    paragraph: int  # counted from 0 in reading order
    parts: list["Part"]  # what it consists of, from its start to its end
    is_row: bool  # of a table
    checkboxes: list[tuple[bool, Floats]]  # whether each is ticked, and its polygon, as that of the line


@dataclass(frozen=True)
class Part:
    """A piece of a line as it was read."""

    text: str
    confidence: float  # 0..1
    polygon: Floats  # (4, 2), fractions of the image's width and height
    column: int  # of a table, counted from 0


@dataclass(frozen=True)
class Sheet:
    """A page turned upright, with its text found but not read. `cut(image, crop)` gives the pixels of a piece."""

    degrees: int  # by how many the page was turned clockwise to be upright: 0, 90, 180 or 270
    image: Pixels  # (height, width, 3), upright
    fragments: Floats  # (n, 4, 2), pixels of the upright page: where the detector sees text
    pieces: Pieces  # of the fragments
    boxes: Floats  # (n, 4), check boxes: left, top, right, bottom in pixels of the upright page
    marks: list[str]  # the character of each check box
    script: str | None  # of its text, where the recogniser does not know it; see models.reading.scripts

    def lines(self, layout: Layout = "columns") -> list[TextLine]:
        """Return the lines in reading order, as far as they can be known before they are read."""
        return arrange(self.pieces.polygons, layout=layout)

    def marked(self) -> list[int | None]:
        """Return the piece that each check box belongs to; None for what is no check box."""
        polygons = self.pieces.polygons
        return owners(self.boxes, np.concatenate([polygons.min(axis=1), polygons.max(axis=1)], axis=1))

    def checkbox(self, number: int) -> tuple[bool, Floats]:
        """Return whether a check box is ticked, and its polygon (4, 2) in fractions of the page as it came."""
        left, top, right, bottom = self.boxes[number]
        polygon = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return self.marks[number] == TICKED, self.fractions(polygon)

    def fractions(self, polygon: Floats) -> Floats:
        """Return a polygon (4, 2) of the upright page in fractions of the page as it came."""
        size = np.array([self.image.shape[1], self.image.shape[0]])
        return turn_back(np.clip(polygon / size, 0, 1), self.degrees)


class PageReader:
    """The detector and the recogniser of RapidOCR. Only one thread may use it at a time."""

    def __init__(self, directory: Path, precision: str = "auto") -> None:
        """Load the networks from the directory that holds RapidOCR's models, to compute in a number format."""
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        # The detector meets no size twice, and keeps nothing of what it prepared.
        self._detector = compiled(core().read_model(directory / DETECTOR), shapes=0, precision=precision)
        self._recogniser = Recogniser(directory, precision=precision)
        self.precision = self._recogniser.precision
        self._two_looks = TwoLooks(self._recogniser, lambda: Recogniser(directory, PRINT, precision=precision))
        self._boxes = DBPostProcess(
            thresh=0.3,
            box_thresh=BOX_THRESHOLD,
            max_candidates=CANDIDATES,
            unclip_ratio=UNCLIP_RATIO,
            use_dilation=True,
        )

    def detect(self, image: Pixels) -> Floats:
        """Return the polygons (n, 4, 2) of text fragments, in pixels of the image (height, width, 3)."""
        return find_fragments(image, self._probabilities, self._polygons)

    def lay_out(self, image: Pixels, may_be_one_line: bool = True) -> Sheet:
        """Find the lines of a page (height, width, 3), whichever way up it is.

        With `may_be_one_line`, an image that is long and filled by one line is taken for a crop of that line.
        """
        found_boxes = find_checkboxes(image)
        degrees, upright, fragments, script = self._upright(erase(image, found_boxes), may_be_one_line)
        # A line that was cut out already is handed on as it is.
        whole = may_be_one_line and is_whole(fragments, upright)
        if not whole:
            fragments = begun_by_marks(upright, with_underscores(upright, fragments))
            fragments = with_lone_characters(upright, fragments, self._recogniser.read)
        found = [WHOLE if whole else runs(cut(upright, fragment), leaders.without_dots) for fragment in fragments]
        boxes = turn_boxes(np.array([each.box for each in found_boxes], np.float64).reshape(-1, 4), image, degrees)
        marks = [each.text for each in found_boxes]
        return Sheet(degrees, upright, fragments, cut_pieces(fragments, found), boxes, marks, script)

    def read(self, image: Pixels, layout: Layout = "auto") -> list[Line]:
        """Return the lines of a page (height, width, 3) in reading order, whichever way up the page is."""
        return self.read_sheet(self.lay_out(image), layout)

    def read_sheet(self, sheet: Sheet, layout: Layout = "auto") -> list[Line]:
        """Return the lines of a page in reading order."""
        marked = sheet.marked()
        read = with_marks(sheet.marks, marked, self._read_pieces(sheet))
        kept = [number for number, (text, confidence) in enumerate(read) if text and confidence >= LEAST_CONFIDENCE]
        # A column of what leaders lead to belongs to what stands to its left, as one of amounts does.
        kinds = kinds_of([read[number][0] for number in kept])
        np.logical_or(kinds.amounts, leaders.led(sheet.image, sheet.pieces.polygons[kept]), out=kinds.amounts)
        lines = []
        for line in arrange(sheet.pieces.polygons[kept], kinds, layout):
            parts = [
                self._part(sheet, read, [kept[piece] for piece in pieces], column) for column, pieces in line.parts()
            ]
            polygons = [sheet.pieces.polygons[kept[pieces[-1]]] for _, pieces in line.parts()]
            text = leaders.joined(sheet.image, [part.text for part in parts], polygons)
            confidence = mean_confidence(parts)
            if is_text(text, confidence):
                polygon = sheet.fractions(line.polygon)
                own = {kept[piece] for piece in line.pieces}
                marks = [sheet.checkbox(mark) for mark, piece in enumerate(marked) if piece in own]
                lines.append(Line(text, confidence, polygon, line.paragraph, parts, line.places is not None, marks))
        return lines

    def recognise(self, crop: Pixels) -> Reading:
        """Read one upright line or word."""
        return self._two_looks.read(crop)

    def _part(self, sheet: Sheet, read: list[tuple[str, float]], pieces: list[int], column: int) -> Part:
        """Return pieces that follow one another as one part of a line."""
        parts = [Part(*read[piece], sheet.pieces.polygons[piece], column) for piece in pieces]
        polygon = line_polygon(sheet.pieces.polygons[pieces], 0.0) if len(parts) > 1 else parts[0].polygon
        return Part(" ".join(part.text for part in parts), mean_confidence(parts), sheet.fractions(polygon), column)

    def _read_pieces(self, sheet: Sheet) -> list[tuple[str, float]]:
        """Return text and confidence of each piece. Fragments are read as a whole: a recogniser is surer of characters
        among others."""
        usual = float(np.median(np.minimum(*sides(sheet.fragments)))) if len(sheet.fragments) else 0.0
        pieces, parts = sheet.pieces, []
        for number, fragment in enumerate(sheet.fragments):
            crop, own = cut(sheet.image, fragment), np.flatnonzero(pieces.owners == number)
            if len(own) > 1 and leaders.has_dots(crop):
                # Beside so many dots, letters are lost.
                crops = [cut(sheet.image, polygon, AROUND) for polygon in pieces.polygons[own]]
                parts += [self._read_fragment(each, usual) for each in crops]
            else:
                reading = self._read_fragment(crop, usual)
                parts += [reading.part(start, end) for start, end in pieces.bounds[own]]
        return [(corrected(part.text), part.confidence) for part in parts]

    def _read_fragment(self, crop: Pixels, usual: float) -> Reading:
        """Read a crop. A tall one is also read turned by 90 and 270 degrees, and the most confident reading counts; but
        one that is too narrow to be a line on its side, by the usual height of lines, is a character or two."""
        if crop.shape[0] < TALL * crop.shape[1] or crop.shape[1] < NARROW * usual:
            return counted(self._read_through_strokes(crop), crop)
        readings = [self.recognise(turn(crop, degrees)) for degrees in (0, 90, 270)]
        return max(readings, key=lambda reading: reading.confidence)

    def _read_through_strokes(self, crop: Pixels) -> Reading:
        """Read a crop; again without the strokes through its letters, if it has any and the reading is unsure."""
        reading = self.recognise(crop)
        clean = unstruck(crop) if reading.text and reading.confidence < UNSURE else None
        second = reading if clean is None else self.recognise(clean)
        return second if second.confidence > SURE else reading

    def _upright(self, image: Pixels, may_be_one_line: bool) -> tuple[int, Pixels, Floats, str | None]:
        """Return by how many degrees the page must be turned, the page so turned, its fragments, and their script."""
        fragments = self._find(image, may_be_one_line)
        choices = (90, 270) if on_its_side(fragments) else (0, 180)
        samples = [leaders.widest_text(cut(image, polygon)) for polygon in longest(fragments, SAMPLES)]
        readings = {choice: [self._recogniser.read(turn(sample, choice)) for sample in samples] for choice in choices}
        degrees = max(choices, key=lambda choice: _confidence(readings[choice]))
        # Text that is not read well either way, such as that of an unknown script, is taken to be upright.
        if degrees == 180 and _confidence(readings[180]) < UPSIDE_DOWN:
            degrees = 0
        lengths = [width / height for height, width, _ in (turn(sample, degrees).shape for sample in samples)]
        script = unknown_script([(reading.view, at) for reading, at in zip(readings[degrees], lengths, strict=True)])
        if degrees == 0:
            return 0, image, fragments, script
        upright = turn(image, degrees)
        return degrees, upright, self._find(upright, may_be_one_line), script

    def _find(self, image: Pixels, may_be_one_line: bool) -> Floats:
        """Return the fragments (n, 4, 2) of a page; an image of a single line is one fragment as a whole."""
        fragments = self.detect(image)
        height, width = image.shape[:2]
        if may_be_one_line and is_line_crop(fragments, height, width):
            fragments = corners(image)[None]
        inked = [fragment for fragment in fragments if has_ink(cut(image, fragment))]
        return np.array(inked, np.float64).reshape(-1, 4, 2)

    def _probabilities(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        with TURN:
            maps: NDArray[np.float32] = self._detector.infer([tensor])[0]  # (1, 1, height, width)
            found = np.array(maps[0, 0], np.float32)
            # What a large page takes, hundreds of megabytes, would stay for the next one.
            self._detector.get_compiled_model().release_memory()
        return found

    def _polygons(self, probabilities: NDArray[np.float32], size: tuple[int, int]) -> Floats:
        polygons, _ = self._boxes(probabilities[None, None], size)
        return np.asarray(polygons, np.float64).reshape(-1, 4, 2)


def _confidence(readings: Sequence[Reading]) -> float:
    return float(np.mean([reading.confidence for reading in readings])) if readings else 0.0


def with_marks(marks: list[str], pieces: list[int | None], read: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return the texts of pieces with the check boxes before them; `pieces` has that of each mark."""
    texts = [text for text, _ in read]
    for mark, piece in zip(marks, pieces, strict=True):
        if piece is not None and texts[piece]:
            texts[piece] = f"{mark} {texts[piece]}"
    return [(text, confidence) for text, (_, confidence) in zip(texts, read, strict=True)]


def corrected(text: str) -> str:
    """Return what was read with the characters that look like others as they are meant."""
    return raised(zeros_for_letters(letters_for_zeros(plain_widths(text)))).replace("□", EMPTY)


def corners(image: Pixels) -> Floats:
    """Return the corners (4, 2) of an image (height, width, 3), clockwise from the top left."""
    height, width = image.shape[:2]
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def is_whole(fragments: Floats, image: Pixels) -> bool:
    """Tell whether the only fragment, of (n, 4, 2), is the image as a whole: a line that was cut out already."""
    return len(fragments) == 1 and np.array_equal(fragments[0], corners(image))


def mean_confidence(parts: Sequence[Part]) -> float:
    """Return the mean confidence over the characters of a line's parts."""
    letters = sum(len(part.text) for part in parts)
    return sum(len(part.text) * part.confidence for part in parts) / max(letters, 1)


def is_text(text: str, confidence: float) -> bool:
    """Return whether a reading is confident enough to count as text."""
    return confidence >= (SHORT_CONFIDENCE if len(text) <= SHORT_TEXT else LEAST_CONFIDENCE) and bool(text)
