"""text8: the first 100 MB of cleaned Wikipedia, as its author publishes them."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tenfold.data.download import download
from tenfold.data.text.corpus import text_lines
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.data import CorpusData

SENTENCE = 1000  # words: as word2vec and gensim read a text without line ends


class Text8(CorpusData):
    """17 M words of Wikipedia in lower case, letters and spaces only (Mahoney, 2006).

    `text8`, or the archive `text8.zip`, is looked for in `root` and `root/text8`.

    root: the folder that holds them, or where the archive is downloaded to.
    download: fetch it, checked by its checksum, where it is missing.
    """

    urls: ClassVar[Sequence[str]] = ("https://mattmahoney.net/dc/text8.zip", "http://mattmahoney.net/dc/text8.zip")
    checksum: ClassVar[str] = "f26f94c5209bc6159618bad4a559ff81"  # MD5 of the archive

    def __init__(self, root: str = "data", download: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.root, self.download = Path(root), download

    def prepare_data(self) -> None:
        self.locate()

    def locate(self) -> Path:
        """The text, unpacked beside its archive, which is downloaded if need be and allowed."""
        folders = (self.root, self.root / "text8")
        for name in ("text8", "text8.zip"):
            for path in (folder / name for folder in folders):
                if path.is_file():
                    return path if name == "text8" else unpacked(path)
        if self.download:
            return unpacked(download(self.urls, folders[1] / "text8.zip", self.checksum))
        raise UserError(
            f"data.root: no text8 or text8.zip in {folders[0]} or {folders[1]}; put one there, or set "
            "data.download=true"
        )

    def files(self) -> Sequence[Path]:
        return [self.locate()]

    def sentences(self) -> Iterator[list[str]]:
        pending: list[str] = []
        for line in text_lines(self.locate()):
            pending += line.split()
            whole = len(pending) - len(pending) % SENTENCE
            yield from (pending[start : start + SENTENCE] for start in range(0, whole, SENTENCE))
            pending = pending[whole:]
        yield pending


def unpacked(archive: Path) -> Path:
    """`text8` beside the archive that holds it, whole or not at all."""
    target = archive.with_name("text8")
    if target.is_file():
        return target
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".text8-") as folder:
            part = Path(folder) / "text8"
            with zipfile.ZipFile(archive) as packed, packed.open("text8") as source, part.open("wb") as file:
                shutil.copyfileobj(source, file)
            os.replace(part, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f"{archive}: expected a zip archive that holds text8 ({error}); fetch it again") from error
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked ({error.strerror})") from error
    return target
