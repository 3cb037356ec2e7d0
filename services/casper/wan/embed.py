"""Write the text embedding of a prompt into a weights folder, so that Casper runs where the text encoder is not.

    python -m services.casper.wan.embed FOLDER ["a prompt"]

Needs UMT5 and its tokenizer in FOLDER (`files.py`). Must not know: the denoiser.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from services.casper.large.kept import DEFAULT_PROMPT
from services.casper.wan import files, text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the text embedding of a prompt into a weights folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("prompt", nargs="?", default=DEFAULT_PROMPT)
    given = parser.parse_args(arguments)
    path = given.folder / files.PROMPTS / text.file_name(given.prompt)
    text.write(path, given.prompt, files.read_text_encoder(given.folder)(given.prompt))
    print(path)


if __name__ == "__main__":
    main()
