"""The languages of a text: BCP 47's tags (`ru`, `zh-Hans`), tesseract's names (`rus`, `chi_sim`), and their scripts.

Scripts have the codes of ISO 15924, such as `Cyrl`.
"""

import re
from collections.abc import Iterable, Sequence

AUTO = "auto"
MOST = 5  # languages of one text
LATIN_AND_HAN = frozenset({"Latn", "Latf", "Latg", "Hans", "Hant", "Hani", "Jpan", "Hira", "Kana", "Hrkt"})
"""The scripts that RapidOCR's recogniser has the characters of."""

NAMES = {
    "Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Cyrl": "Cyrillic", "Deva": "Devanagari",
    "Ethi": "Ethiopic", "Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi",
    "Hebr": "Hebrew", "Kore": "Korean", "Khmr": "Khmer", "Knda": "Kannada", "Laoo": "Lao", "Mlym": "Malayalam",
    "Mymr": "Burmese", "Sinh": "Sinhala", "Taml": "Tamil", "Telu": "Telugu", "Thai": "Thai", "Tibt": "Tibetan",
}  # fmt: skip
"""Scripts in words."""
_FIRST = {
    "Arab": ("ar", "fa", "ur"), "Armn": ("hy",), "Beng": ("bn", "as"), "Cyrl": ("ru", "uk", "bg", "sr", "be", "mk"),
    "Deva": ("hi", "mr", "ne", "sa"), "Geor": ("ka",), "Grek": ("el",), "Hebr": ("he", "yi"), "Kore": ("ko",),
    "Taml": ("ta",), "Telu": ("te",), "Thai": ("th",),
}  # fmt: skip
"""The languages that are tried for a text of which only the script is known, the most used first."""
USUAL = (
    "en", "es", "fr", "de", "pt", "it", "nl", "pl", "cs", "sv", "da", "nb", "fi", "hu", "ro", "tr", "vi", "id",
    "zh-Hans", "zh-Hant", "ja",
)  # fmt: skip
"""Languages to offer of a reader that knows their scripts."""
_TESSERACT = {
    "chi_sim": "zh-Hans", "chi_tra": "zh-Hant", "srp_latn": "sr-Latn", "aze_cyrl": "az-Cyrl", "uzb_cyrl": "uz-Cyrl",
    "frk": "de-Latf", "deu_latf": "de-Latf", "nor": "nb", "kur": "ku", "kmr": "kmr", "msa": "ms", "fil": "fil",
}  # fmt: skip
"""Names of tesseract that are not those of ISO 639-2."""
_NO_LANGUAGE = ("osd", "equ")


def parse(text: str) -> tuple[str, ...] | None:
    """Return the tags of one or several languages, with commas or `+` between them; None for `auto`.

    Raises:
        ValueError: one of them is no language.
    """
    parts = [part.strip() for part in re.split(r"[,+]", text) if part.strip()]
    if not parts or [part.lower() for part in parts] == [AUTO]:
        return None
    if len(parts) > MOST:
        raise ValueError(f"name at most {MOST} languages")
    return tuple(dict.fromkeys(map(tag_of, parts)))


def tag_of(name: str) -> str:
    """Return the tag of a language, by its tag or by tesseract's name, without its region.

    Raises:
        ValueError: there is no such language.
    """
    from langcodes import Language, tag_parser

    try:
        language = Language.get(_TESSERACT.get(name.lower(), name))
        language.to_alpha3()
    except (tag_parser.LanguageTagError, LookupError):
        language = Language.get("und")
    if language.language in (None, "und", "mul", "zxx"):
        raise ValueError(f"{name[:40]!r} is no language: name it as ru, zh-Hans or rus, several as ru+en, or auto")
    return str(Language.make(language.language, script=language.script).to_tag())


def script_of(tag: str) -> str:
    """Return the script that a language is written in."""
    from langcodes import Language

    return str(Language.get(tag).maximize().script)


def tesseract_names(tag: str) -> tuple[str, ...]:
    """Return tesseract's names of a language, one of which its file has."""
    from langcodes import Language

    own = [name for name, known in _TESSERACT.items() if known == (tag if tag != "zh" else "zh-Hans")]
    return (*own, Language.get(tag).to_alpha3())


def tag_of_tesseract(name: str) -> str | None:
    """Return the tag of a language that tesseract has a file of; None for a file of something else."""
    if name in _NO_LANGUAGE or name.endswith(("_vert", "_old")):
        return None
    try:
        return tag_of(name)
    except ValueError:
        return None


def usual(script: str, among: Iterable[str]) -> str | None:
    """Return the most used language of a script among some; None where none is written in it."""
    written = [tag for tag in among if script_of(tag) == script]
    first = [tag for tag in _FIRST.get(script, ()) if tag in written]
    return next(iter([*first, *written]), None)


def packages(tags: Sequence[str]) -> str:
    """Return what to install for languages, as Debian's packages."""
    return " ".join(["tesseract-ocr", *(f"tesseract-ocr-{tesseract_names(tag)[0].replace('_', '-')}" for tag in tags)])


def what_reads(script: str) -> str:
    """Return Debian's packages for texts in a script."""
    return packages(_FIRST[script][:1]) if script in _FIRST else "tesseract-ocr and the package of its language"
