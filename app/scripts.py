"""Scripts: which model reads a language, and what is done with a page whose script its reader does not know."""

from app.errors import InvalidOption
from models import languages
from models.base import Prediction
from models.registry import Entry, Registry
from models.roles import READER, SCRIPT_READER

WITH_ENGLISH = ("Cyrl", "Grek", "Deva", "Thai")
"""Scripts whose pages are read with English beside them, for columns and names in Latin letters. Pages in Arabic,
Hebrew and Korean are read worse so: up to a tenth more of their letters were wrong."""


def reader_of(registry: Registry, entry: Entry, wanted: tuple[str, ...] | None) -> Entry:
    """Return the model that reads some languages: the one that is asked for or, instead of READER, SCRIPT_READER.

    Raises:
        InvalidOption: it does not read one of them.
    """
    model = entry.model
    if not wanted or not (unread := model.unread(wanted)):
        return entry
    if model.name not in (READER, SCRIPT_READER):
        raise InvalidOption(f"{model.name} does not read {', '.join(unread)}: ask for {READER} or {SCRIPT_READER}")
    other = registry.entry(SCRIPT_READER)
    if lacking := other.model.unread(wanted):
        raise InvalidOption(
            f"no model on this machine reads {', '.join(lacking)}: install Debian's {languages.packages(lacking)}"
        )
    return other


def languages_here(registry: Registry) -> tuple[str, ...]:
    """Return the languages that SCRIPT_READER has the files of."""
    return next((entry.model.languages for entry in registry if entry.model.name == SCRIPT_READER), ())


def languages_of(registry: Registry, script: str) -> tuple[str, ...]:
    """Return the languages in which SCRIPT_READER reads a page in a script; none where it does not."""
    here = languages_here(registry)
    usual = languages.usual(script, here)
    if usual is None:
        return ()
    return (usual, "en") if script in WITH_ENGLISH and "en" in here else (usual,)


def not_read(script: str) -> Prediction:
    """Return the prediction for a page that nothing on this machine reads: no text, and a warning."""
    name = languages.NAMES.get(script, script)
    warning = (
        f"the text seems to be in {name} script, which no model on this machine reads: install Debian's "
        f"{languages.what_reads(script)}; or, if it is in another script, name its language, such as language=en"
    )
    return Prediction("", lines=(), warnings=(warning,))


def guessed(script: str, tags: tuple[str, ...]) -> str:
    """Return the warning of a page whose languages were guessed from its script."""
    name, found = languages.NAMES.get(script, script), ",".join(tags)
    return f"text in {name} script was read by {SCRIPT_READER} as language={found}: name its languages if it has others"
