"""Takes secrets out of texts that leave the process as log lines or in traces.

A second net: nothing hands a secret to a logger on purpose, but libraries quote URLs and headers in their errors.
Must not know: where the texts go.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_NAMES = r"[\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|signature|credential|authorization)"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Headers: "Bearer ...", "Basic ...".
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;)]+"), rf"\1 {HIDDEN}"),
    # Our own API keys, and JSON Web Tokens, wherever they stand.
    (re.compile(r"\bomni_[0-9a-f]{16}_[\w-]+"), HIDDEN),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    # User and password in a URL; a password may itself hold an @.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#\"']*@"), rf"\1{HIDDEN}@"),
    # name=value and "name": "value", in a query, a connection string or a dictionary that was printed.
    (re.compile(rf"(?i)\b({_NAMES}[\"']?\s*[=:]\s*[\"']?)(?!(?:bearer|basic)\b)[^\s\"',;&)}}]+"), rf"\1{HIDDEN}"),
    # What signs an address, whoever's: ours, S3's, Azure's.
    (re.compile(r"(?i)([?&](?:sig|s|x-amz-[\w-]+)=)[^&\s\"'<>]+"), rf"\1{HIDDEN}"),
)


def without_secrets(text: str) -> str:
    """`text` with *** for whatever looks like a secret."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
