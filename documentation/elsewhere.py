"""What of a page or a style sheet a browser would fetch from another machine: nothing may."""

import re

_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*"
    r"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^>]*"
    r"|\burl\(\s*[\"']?(?:https?:)?//[^)]*"
    r"|@import\s+[\"'](?:https?:)?//[^\"']*"
)


def fetched(text: str) -> str | None:
    """Return the first of it as it is written in *text*, HTML or CSS; None where all is here."""
    found = _FETCHED.search(text)
    return found[0] if found else None
