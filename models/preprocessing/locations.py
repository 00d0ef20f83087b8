"""From Florence-2's text with location tokens to boxes and polygons.

`car<loc_52><loc_333><loc_932><loc_774>` names the left, top, right and bottom of a box, each in thousandths of the
image's width or height; a line of text is followed by the four corners of its polygon. The patterns are those of
`Florence2PostProcessor` in transformers. A token stands for the middle of its thousandth.
"""

import re
from collections.abc import Collection, Iterable

from models.found import Box, Entity, Polygon

_BINS = 1000
_LOCATION = r"<loc_(\d+)>"
_LINE = re.compile(r"(.+?)" + _LOCATION * 8)
_LABELLED = re.compile(r"([^<]+)((?:<loc_\d+>){4,})")
_BOX = re.compile(_LOCATION * 4)
_ENDS = re.compile(r"</?s>|<pad>")
_LEADS = ("<ground>", "<obj>")


def read_lines(tagged: str) -> list[tuple[str, Polygon]]:
    """Return lines of text with their polygons, from the answer to `<OCR_WITH_REGION>`."""
    lines: list[tuple[str, Polygon]] = []
    for text, *numbers in _LINE.findall(_ENDS.sub("", tagged)):
        a, b, c, d, e, f, g, h = map(_fraction, numbers)
        lines.append((text.strip(), ((a, b), (c, d), (e, f), (g, h))))
    return lines


def read_objects(tagged: str) -> list[tuple[str, tuple[Box, ...]]]:
    """Return what was found with its boxes, from the answer to `<OD>` or another request for boxes."""
    found = []
    for label, locations in _LABELLED.findall(_ENDS.sub("", tagged)):
        boxes = tuple(_box(match.groups()) for match in _BOX.finditer(locations))
        found.append((label.strip(), boxes))
    return found


def entities_of_labels(found: Iterable[tuple[str, tuple[Box, ...]]]) -> tuple[str, tuple[Entity, ...]]:
    """Return a text of all labels, each once, and an entity for each with all of its boxes."""
    together: dict[str, list[Box]] = {}
    for label, boxes in found:
        together.setdefault(label, []).extend(boxes)
    text, entities = ", ".join(together), []
    start = 0
    for label, all_boxes in together.items():
        entities.append(Entity(label, (start, start + len(label)), tuple(all_boxes)))
        start += len(label) + len(", ")
    return text, tuple(entities)


def entities_of_phrases(
    text: str, found: Iterable[tuple[str, tuple[Box, ...]]], banned: Collection[str]
) -> tuple[Entity, ...]:
    """Return the phrases of a text as entities.

    Args:
        text: that the phrases are of.
        found: phrases and their boxes, in the order of the text.
        banned: phrases such as `it`, which name nothing.
    """
    entities: list[Entity] = []
    lowered, reached = text.casefold() if len(text.casefold()) == len(text) else text, 0
    for phrase, boxes in found:
        if phrase in banned:
            continue
        start = lowered.find(phrase.casefold(), reached)
        start = lowered.find(phrase.casefold()) if start < 0 else start
        if start < 0:
            # The model names what is not in the text: without a place in it.
            entities.append(Entity(phrase, (reached, reached), boxes))
            continue
        reached = start + len(phrase)
        entities.append(Entity(text[start:reached], (start, reached), boxes))
    return tuple(entities)


def _box(numbers: Iterable[str]) -> Box:
    x0, y0, x1, y1 = map(_fraction, numbers)
    # The network may name the corners in the wrong order.
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _fraction(number: str) -> float:
    return (int(number) + 0.5) / _BINS
