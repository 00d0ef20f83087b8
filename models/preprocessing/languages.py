"""Languages by their codes and names."""

import re

from models.errors import InvalidJob

_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nb": "Norwegian",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_CODE = re.compile(r"([a-z]{2})(?:[-_][a-z0-9]{2,8})*", re.I)


def language_name(language: str) -> str:
    """Return the English name of a language: of `de` and `de-AT` it is German, and a name stays as it is.

    Raises:
        InvalidJob: it is a code that is not known here.
    """
    if (code := _CODE.fullmatch(language)) is None:
        return language
    try:
        return _NAMES[code[1].lower()]
    except KeyError:
        raise InvalidJob(f"output_language: the code {language} is not known: write the language's name") from None
