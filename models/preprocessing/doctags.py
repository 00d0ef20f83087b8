"""DocTags, in which Granite-Docling writes a page: `<text><loc_58><loc_44><loc_426><loc_91>Words</text>`.

https://arxiv.org/abs/2503.11576
"""

import re

_LEFT_OUT = re.compile(r"<page_header>.*?</page_header>|<page_footer>.*?</page_footer>|<loc_\d+>", re.S)
_CELL = re.compile(r"<(?:fcel|ched|rhed|srow)>")
_EMPTY = re.compile(r"<(?:ecel|lcel|ucel|xcel)>")
_BREAK = re.compile(r"</?[a-z_][a-z_0-9]*>|<\|[^|<>]*\|>")


def text_of(doctags: str) -> str:
    """Return the text of a page: a paragraph for each of its parts, and a line for each row of its tables, with tabs
    between the cells. Headers and footers are left out."""
    text = _LEFT_OUT.sub("", doctags)
    text = _EMPTY.sub("\t", _CELL.sub("\t", text)).replace("<nl>", "\n")
    parts = (part.strip(" \n") for part in _BREAK.sub("\n\n", text).split("\n\n"))
    rows = ("\n".join(row.removeprefix("\t").rstrip() for row in part.split("\n")) for part in parts if part.strip())
    return "\n\n".join(rows).strip()
