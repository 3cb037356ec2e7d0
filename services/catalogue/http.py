"""One file over HTTP into a `.partial` file, from where it was cut off.

Must not know: catalogue entries, digests, and what happens to the file afterwards.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.catalogue.check import Advance, nothing
from services.errors import BadInput, BadOption, NotFound, Unavailable

MIRROR_VARIABLE = "OMNIMATTE_WEIGHTS_MIRROR"
TOKEN_VARIABLE = "OMNIMATTE_WEIGHTS_TOKEN"
DEFAULT_BASE = "https://huggingface.co"

_BLOCK = 2**20
_ATTEMPTS = 5
_TIMEOUT_SECONDS = 30.0
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


def base_url(mirror: str | None = None) -> str:
    """The hub, or the mirror that is given or set in the environment. Raises BadOption if it is no http(s) address."""
    base = (mirror or os.environ.get(MIRROR_VARIABLE) or DEFAULT_BASE).rstrip("/")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadOption(f"the mirror {base!r} is no http or https address; give one such as https://mirror.example.")
    return base


def download(
    url: str,
    partial: Path,
    *,
    limit: int,
    advance: Advance = nothing,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch `url` into `partial`, going on where an earlier call stopped. Cut connections are taken up again.

    Args:
        url: http or https.
        partial: the file to write; its bytes so far are kept if the server still has the same file.
        limit: most bytes that are accepted.
        advance: is told of every byte, those of earlier calls at once; fewer than none when it starts anew.
        pause: waits some seconds between attempts.
    Raises:
        Unavailable: the server does not answer, or its connection was cut off five times without a byte between.
        NotFound: it has no such file.
        BadOption: it asks who we are.
        BadInput: it sends more than `limit` bytes.
    """
    counter = _Counter(advance)
    counter.at(_size(partial))
    failures = 0
    while True:
        before = counter.done
        try:
            _attempt(url, partial, limit=limit, counter=counter)
            return
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if isinstance(error, urllib.error.HTTPError):
                _refused(url, error)
            elif isinstance(error, OSError) and _ours(error):
                raise
            failures = 0 if counter.done > before else failures + 1
            if failures >= _ATTEMPTS:
                reason = getattr(error, "reason", None) or error
                raise Unavailable(
                    f"{_host(url)} does not deliver {urlsplit(url).path} ({reason}); run the same command again to go "
                    f"on from {counter.done:,} bytes, or use another server with --mirror, or a folder with --from."
                ) from error
            pause(min(2.0**failures, 30.0))


class _Counter:
    """Bytes done, told onwards as differences."""

    def __init__(self, advance: Advance) -> None:
        self._advance, self.done = advance, 0

    def at(self, done: int) -> None:
        if done != self.done:
            self._advance(done - self.done)
            self.done = done


class _CutOff(OSError):
    """The connection ended before the file did."""


def _attempt(url: str, partial: Path, *, limit: int, counter: _Counter) -> None:
    tag_file = partial.with_name(f"{partial.name}.tag")
    start = _size(partial)
    counter.at(start)
    try:
        response = _open(url, start=start, tag=_tag(tag_file))
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{start}":
            tag_file.unlink(missing_ok=True)
            return
        # The server's file has become shorter.
        response = _open(url, start=0, tag="")
    if response.status == 206 and not _goes_on(response, start):
        response.close()
        response = _open(url, start=0, tag="")
    with response:
        if response.status != 206:
            # The whole file: either it was asked for, or the server has another one than before, or cannot resume.
            start = 0
        counter.at(start)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and total > limit:
            partial.unlink(missing_ok=True)
            raise BadInput(
                f"{_host(url)} offers {total:,} bytes as {urlsplit(url).path}, at most {limit:,} belong there."
            )
        _keep_tag(tag_file, response.headers.get("ETag", ""))
        with partial.open("r+b" if partial.exists() else "wb") as file:
            file.seek(start)
            file.truncate()
            while block := response.read(_BLOCK):
                if counter.done + len(block) > limit:
                    partial.unlink()
                    tag_file.unlink(missing_ok=True)
                    raise BadInput(f"{_host(url)} sends more than {limit:,} bytes as {urlsplit(url).path}.")
                file.write(block)
                counter.at(counter.done + len(block))
    if total is not None and counter.done < total:
        raise _CutOff(f"the connection was cut off after {counter.done:,} of {total:,} bytes")
    tag_file.unlink(missing_ok=True)


def _goes_on(response: Any, start: int) -> bool:
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == start


def _open(url: str, *, start: int, tag: str) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "omnimatte", "Accept-Encoding": "identity"})
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        # Not passed on: the hub redirects to servers that must not see it.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)


def _refused(url: str, error: urllib.error.HTTPError) -> None:
    """Raise what a final refusal means; return if it may pass."""
    error.close()
    path = urlsplit(url).path
    if error.code in (401, 403):
        raise BadOption(
            f"{_host(url)} does not give {path} to strangers; accept its terms there and set {TOKEN_VARIABLE} to your "
            "access token, or bring the files in a folder with --from."
        ) from error
    if error.code in (404, 410):
        raise NotFound(
            f"{_host(url)} has no {path}; use another server with --mirror, or a folder with --from."
        ) from error
    if error.code < 500 and error.code not in (408, 425, 429):
        raise Unavailable(f"{_host(url)} refuses {path} ({error.code} {error.reason}); use another one with --mirror.")


def _ours(error: OSError) -> bool:
    """Whether the disk failed, not the network."""
    return error.filename is not None or error.errno in _DISK


def _tag(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


def _keep_tag(path: Path, tag: str) -> None:
    # A weak tag may not be used to resume.
    if tag and not tag.startswith("W/"):
        path.write_text(tag, "utf-8")
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
