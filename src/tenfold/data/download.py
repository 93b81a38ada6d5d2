"""Downloads, whole and checked or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import urlopen

from tqdm import tqdm

from tenfold.errors import UserError

TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 20  # bytes


def download(urls: Sequence[str], path: Path, md5: str) -> Path:
    """Fetch `path` from the first of `urls` that gives a file with this checksum.

    The file appears under its name only when it is whole, so that processes may do this at the same time. Raises
    `UserError`, which tells where a person can fetch the file by hand.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise UserError(f"data.root: {path.parent} cannot be written ({error.strerror})") from error
    try:
        with part:
            _fetch_any(urls, part, path, md5)
        os.chmod(part.name, 0o644)  # a temporary file is its owner's only
        os.replace(part.name, path)
    finally:
        Path(part.name).unlink(missing_ok=True)
    return path


def _fetch_any(urls: Sequence[str], part: IO[bytes], path: Path, md5: str) -> None:
    failures = []
    for url in urls:
        part.seek(0)
        part.truncate()
        try:
            found = _fetch(url, part, path.name)
        except (OSError, HTTPException, ValueError) as error:  # URLError and time-outs are OSErrors
            failures.append(f"{urlsplit(url).netloc}: {getattr(error, 'reason', None) or error}")
            continue
        if found == md5:
            return
        failures.append(f"{urlsplit(url).netloc}: md5 {found}, expected {md5}")
    tried = "; ".join(failures).replace("\n", " ")
    raise UserError(f"{path}: could not be downloaded ({tried}); fetch {urls[0]} by hand and put it there")


def _fetch(url: str, part: IO[bytes], name: str) -> str:
    """Write what `url` holds to `part`; gives its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with urlopen(url, timeout=TIMEOUT) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=size or None, desc=name, unit="B", unit_scale=True, leave=False) as bar:
            for chunk in _chunks(answer):
                digest.update(chunk)
                part.write(chunk)
                bar.update(len(chunk))
    return digest.hexdigest()


def _chunks(answer: IO[bytes]) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk
