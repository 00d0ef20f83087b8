"""From Kosmos-2's tagged text to clean text, phrases and boxes.

`a <phrase>fire</phrase><object><patch_index_0005><patch_index_0911></object>` names the patches at the top left and
bottom right of a box, on a grid of 32 x 32. A delimiter stands between several boxes of a phrase.
"""

import re

from models.found import Box, Entity

_SIDE = 32
_PAIR = r"<patch_index_\d+><patch_index_\d+>"
_ENTITY = re.compile(
    rf"(?:<phrase>([^<]+)</phrase>)?<object>((?:{_PAIR}</delimiter_of_multi_objects/>)*{_PAIR})</object>"
)


def read(tagged: str, view: Box) -> tuple[str, tuple[Entity, ...]]:
    """Return clean text and its entities. An object without a phrase becomes an entity with an empty span.

    Args:
        tagged: the output of Kosmos-2.
        view: the part of the image that the network sees, in fractions of the image.
    """
    clean = _without_tags(tagged)
    leading = len(clean) - len(clean.lstrip())
    clean = clean.strip()
    entities: list[Entity] = []
    for match in _ENTITY.finditer(tagged):
        phrase = match[1] or ""
        begin = match.start(1) if phrase else match.start()
        start = len(_without_tags(tagged[:begin])) - leading + len(phrase) - len(phrase.lstrip())
        span = (start, start + len(phrase.strip()))
        numbers = [int(number) for number in re.findall(r"\d+", match[2])]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        # Without a phrase, each object is an entity.
        entities += [
            Entity(clean[slice(*span)], span, tuple(_in_image(_box(*pair), view) for pair in boxes))
            for boxes in ([pairs] if phrase else [[pair] for pair in pairs])
        ]
    return clean, tuple(entities)


def _without_tags(tagged: str) -> str:
    return re.sub("<.*?>", "", tagged)


def _box(first: int, last: int) -> Box:
    """Return the box of two patches, as the authors do: from centre to centre, or of whole patches if they share a row
    or a column."""
    y0, x0 = divmod(first, _SIDE)
    y1, x1 = divmod(last, _SIDE)
    before, after = (0.0, 1.0) if x0 == x1 or y0 == y1 else (0.5, 0.5)
    return ((x0 + before) / _SIDE, (y0 + before) / _SIDE, (x1 + after) / _SIDE, (y1 + after) / _SIDE)


def _in_image(box: Box, view: Box) -> Box:
    """Convert a box from fractions of the visible part to fractions of the image."""
    left, top, right, bottom = view
    width, height = right - left, bottom - top
    x0, y0, x1, y1 = box
    # The network may name the patches in the wrong order.
    return (
        left + width * min(x0, x1),
        top + height * min(y0, y1),
        left + width * max(x0, x1),
        top + height * max(y0, y1),
    )
