"""The little HTML that is ours. Whatever somebody else chose (names, messages) is escaped here and nowhere else.

Must not know: Gradio, or what the words are about.
"""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Iterable

from services.errors import OmnimatteError

PREVIEW_BYTES = 256 << 10
_log = logging.getLogger(__name__)


def note(text: str) -> str:
    """A line that says how things stand."""
    return f'<p class="note" role="status">{html.escape(text)}</p>'


def problem(error: Exception) -> str:
    """One sentence about what went wrong: the error's own, and never a traceback."""
    if isinstance(error, OmnimatteError):
        text = " ".join(error.message.split())
        text = text[:1].upper() + text[1:]
    else:
        _log.error("an event of the page failed", exc_info=error)
        text = "Something went wrong here; the log of this program says what. Try it again."
    return f'<p class="note problem" role="alert">{html.escape(text)}</p>'


def legend(entries: Iterable[tuple[str, tuple[int, int, int], str]]) -> str:
    """Objects with their colours: (name, RGB, remark) each."""
    rows = "".join(
        f'<li><span class="swatch" style="background: rgb({red} {green} {blue})"></span>'
        f"<b>{html.escape(name)}</b> <span>{html.escape(remark)}</span></li>"
        for name, (red, green, blue), remark in entries
    )
    return f'<ul class="legend">{rows}</ul>'


def bar(name: str, *, state: str, share: float | None, remark: str) -> str:
    """How far one thing is; `share` None: nobody knows, but it moves."""
    value = "" if share is None else f' value="{min(1.0, max(0.0, share)):.3f}"'
    return (
        f'<li class="{html.escape(state)}"><span class="name">{html.escape(name)}</span>'
        f'<progress max="1"{value} aria-label="{html.escape(name)}"></progress>'
        f'<span class="remark">{html.escape(remark)}</span></li>'
    )


def picture(webp: bytes, *, caption: str) -> str:
    """A small WebP picture; nothing for what is none."""
    if not (webp[:4] == b"RIFF" and webp[8:12] == b"WEBP") or len(webp) > PREVIEW_BYTES:
        return ""
    data = base64.b64encode(webp).decode()
    name = html.escape(caption)
    return f'<figure><img src="data:image/webp;base64,{data}" alt="{name}"><figcaption>{name}</figcaption></figure>'
