"""A hook of mkdocs: mathematics becomes MathML while the site is built, and needs no script to be read."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_MARKED = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def render(page: str) -> str:
    """HTML in which what arithmatex marked as mathematics is MathML."""
    return _MARKED.sub(
        lambda found: convert(
            html.unescape(found[2]).strip(), display="block" if found[1] == "div" else "inline"
        ),
        page,
    )


def on_page_content(body: str, **_: Any) -> str:
    """Called by mkdocs with the body of each page."""
    return render(body)
