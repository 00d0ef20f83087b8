"""What is said of a picture, as metadata: which tags hold it, and a sidecar in XMP.

XMP specification, part 1 (ISO 16684-1), and the IPTC Photo Metadata Standard.
"""

from dataclasses import dataclass
from typing import Self
from xml.sax.saxutils import escape

from app.cli.tasks import Task, tags_of
from app.exports.base import printable
from app.types import Answer

_PACKET = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" \
xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/">
{properties}  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a picture: a description, keywords, and a text for those who do not see it; None and no keywords
    leave what a file has."""

    description: str | None = None
    keywords: tuple[str, ...] = ()
    alt: str | None = None

    @classmethod
    def of(cls, task: Task, answer: Answer) -> Self:
        """Return what a command's answer says. Of `alt`, the description is the caption in the alt text."""
        keywords = tuple(filter(None, map(printable, tags_of(answer))))
        if task.name == "alt":
            caption = answer.parts.caption if answer.parts else None
            return cls(_clean(caption or ""), keywords, _clean(answer.text))
        if task.name == "tags":
            return cls(None, keywords)
        return cls(_clean(answer.text), keywords)


def packet(words: Words) -> bytes:
    """Return a sidecar."""
    properties = ""
    for name, text in (("dc:description", words.description), ("Iptc4xmpCore:AltTextAccessibility", words.alt)):
        if text:
            item = f'<rdf:li xml:lang="x-default">{escape(text)}</rdf:li>'
            properties += f"   <{name}><rdf:Alt>{item}</rdf:Alt></{name}>\n"
    if words.keywords:
        items = "".join(f"<rdf:li>{escape(keyword)}</rdf:li>" for keyword in words.keywords)
        properties += f"   <dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>\n"
    return _PACKET.format(properties=properties).encode()


def _clean(text: str) -> str | None:
    """Return a text without characters that XML forbids; its lines stay lines."""
    return "\n".join(map(printable, text.splitlines())).strip() or None
