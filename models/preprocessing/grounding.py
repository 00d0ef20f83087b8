"""Kosmos-2's tagged text: to clean text, and the phrases in it with their boxes.

`a <phrase>fire</phrase><object><patch_index_0005><patch_index_0911></object>` names the patches at the top left and
bottom right of a box, on a grid of 32 x 32. Several boxes of a phrase have a delimiter between them.
"""

import re

from models.base import Box, Entity

_SIDE = 32
_PAIR = r"<patch_index_\d+><patch_index_\d+>"
_ENTITY = re.compile(
    rf"(?:<phrase>([^<]+)</phrase>)?<object>((?:{_PAIR}</delimiter_of_multi_objects/>)*{_PAIR})</object>"
)


def read(tagged: str, view: Box) -> tuple[str, tuple[Entity, ...]]:
    """Return clean text and its entities; an object without a phrase is an entity of no characters.

    Args:
        tagged: what Kosmos-2 wrote.
        view: the part of the image that it saw, in fractions of it.
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
        # Without a phrase each object stands for itself.
        entities += [
            Entity(clean[slice(*span)], span, tuple(_in_image(_box(*pair), view) for pair in boxes))
            for boxes in ([pairs] if phrase else [[pair] for pair in pairs])
        ]
    return clean, tuple(entities)


def _without_tags(tagged: str) -> str:
    return re.sub("<.*?>", "", tagged)


def _box(first: int, last: int) -> Box:
    """Return the box that two patches name: from centre to centre, or whole patches where they share a row or column
    (as the authors do)."""
    y0, x0 = divmod(first, _SIDE)
    y1, x1 = divmod(last, _SIDE)
    before, after = (0.0, 1.0) if x0 == x1 or y0 == y1 else (0.5, 0.5)
    return ((x0 + before) / _SIDE, (y0 + before) / _SIDE, (x1 + after) / _SIDE, (y1 + after) / _SIDE)


def _in_image(box: Box, view: Box) -> Box:
    """Return a box in fractions of what was seen as one in fractions of the image."""
    left, top, right, bottom = view
    width, height = right - left, bottom - top
    x0, y0, x1, y1 = box
    # Nothing but training keeps the first patch above and left of the second.
    return (
        left + width * min(x0, x1),
        top + height * min(y0, y1),
        left + width * max(x0, x1),
        top + height * max(y0, y1),
    )
