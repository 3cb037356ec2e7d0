"""JSON beside a model's tensors: its configuration, or the index of its shards.

Must not know: torch, what the entries mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.errors import BadOption


def read_json(path: Path) -> dict[str, Any]:
    """The object in the JSON file `path`. Raises BadOption if it cannot be read or is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"{path} cannot be read ({error.strerror}); copy or download it again.") from error
    except (ValueError, RecursionError) as error:
        raise BadOption(f"{path} is no JSON ({error}); copy or download it again.") from error
    if not isinstance(content, dict):
        raise BadOption(f"{path} holds no JSON object; copy or download it again.")
    return content
