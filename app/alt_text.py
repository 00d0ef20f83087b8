"""Alt text: a caption and the words on a picture as one sentence fit for an `alt` attribute. Text only, no models."""

import re
from collections.abc import Sequence

_OPENING = re.compile(
    r"^\s*(?:(?:there (?:is|are)|this is|here is)\s+)?"
    r"(?:an?|the)?\s*(?:close[- ]?up\s+)?(?:image|picture|photo|photograph|photography|close[- ]?up)"
    r"\s+(?:of|showing)\b\s*",
    re.IGNORECASE,
)
# Meaningless words such as "araffe", which BLIP large writes because of noise in the captions it was trained on.
_NONSENSE = re.compile(r"\b(?:an?\s+)?ara(?:f|ff)(?:e|ed|es)\b[\s,]*", re.IGNORECASE)
_LONGEST_REPEAT = 4
_ELLIPSIS = "…"
_SAID_BY_WORDS = frozenset({"sign", "website"})
_NO_THING = re.compile(
    r"white|black|brown|red|blue|green|yellow|orange|pink|purple|gr[ae]y|young|old|little|wooden|grassy|snowy|sandy|"
    r"colorful|dressed|(?:jump|run|ride|sit|stand|play|walk|hold|wear|leap|climb|perform)s|"
    r"(?!building|clothing|swing|railing|string|king)\w+ing"
)
"""Tags for looks and deeds, which are no things to enumerate."""
_LEAST_WORDS = 12
"""The fewest characters of the words that an alt text includes. Fewer are left out, because a fragment is useless."""


def compose(caption: str, words: str, max_length: int) -> str:
    """Return one sentence of at most `max_length` characters.

    Args:
        caption: the output of a captioner; may be empty.
        words: the text that a reader found on the picture; may be empty.
        max_length: the limit. A text that does not fit is cut at a word.
    """
    caption = clean(caption)
    words = " ".join(words.replace("“", "'").replace("”", "'").split())
    lead = f"{caption}, with the text " if caption else "The text "
    room = max_length - len(lead) - len("“”.")
    if words and room >= min(_LEAST_WORDS, len(words)):
        return f"{lead}“{shorten(words, room)}”."
    if not caption:
        return f"“{shorten(words, max_length - len('“”'))}”" if words and max_length > len("“”…") else ""
    return f"{shorten(caption, max_length - 1)}." if max_length > 1 else ""


def list_sure(things: Sequence[str], words: str, max_length: int) -> str:
    """Return what is sure of a picture whose caption is not: `Photo: broccoli, table. Text: MENU`.

    Args:
        things: tags; as many are named as fit, without those for looks and deeds.
        words: what is written on it; may be empty.
        max_length: the limit of the characters.
    """
    words = " ".join(words.split())
    named = [thing for thing in things if not (_NO_THING.fullmatch(thing) or (words and thing in _SAID_BY_WORDS))]
    text = shorten(f"Text: {words}", max_length) if words else ""
    room = max_length - len(text) - (len(". ") if text else 0)
    while named and len(seen := f"Photo: {', '.join(named)}") > room:
        named.pop()
    return ". ".join(part for part in (seen if named else "", text) if part)


def clean(caption: str) -> str:
    """Return a caption without "an image of", nonsense words, immediate repetitions, and its full stop."""
    text = " ".join(_NONSENSE.sub(" ", caption).split()).rstrip(" .,;")
    while (shorter := _OPENING.sub("", text)) != text:
        text = shorter
    text = _without_repeats(text)
    return text[:1].upper() + text[1:]


def shorten(text: str, length: int) -> str:
    """Cut a text at a word, with an ellipsis, so that it has at most `length` characters."""
    if len(text) <= length:
        return text
    kept = text[: length - len(_ELLIPSIS) + 1].rpartition(" ")[0] or text[: length - len(_ELLIPSIS)]
    return kept.rstrip(" .,;:") + _ELLIPSIS


def _without_repeats(text: str) -> str:
    """Return a text without immediate repetitions of a word, or of up to _LONGEST_REPEAT words."""
    words = text.split()
    for length in range(1, _LONGEST_REPEAT + 1):
        kept: list[str] = []
        for word in words:
            kept.append(word)
            last, before = kept[-length:], kept[-2 * length : -length]
            if [w.lower().strip(",") for w in last] == [w.lower().strip(",") for w in before]:
                # Delete the first of the two, and with it the comma that an enumeration has there.
                del kept[-2 * length : -length]
        words = kept
    return " ".join(words)
