import io
import json
from itertools import chain, repeat
from types import SimpleNamespace

import pytest
import torch

from tenfold.config.spec import spec_from_dict
from tenfold.data.text.spec import TextSpec
from tenfold.errors import UserError


@pytest.fixture
def spec():
    return TextSpec(("bad", "good"), "words", ("<pad>", "<unk>", "fine", "book"), max_length=3)


def test_network_arguments_are_those_announced(spec):
    arguments = spec.network_arguments()
    assert arguments == {"vocab_size": 4, "padding_idx": 0, "num_classes": 2}
    assert set(arguments) == TextSpec.provides


def test_survives_a_checkpoint(spec, tmp_path):
    torch.save(spec.to_dict(), tmp_path / "spec.pt")
    assert spec_from_dict(torch.load(tmp_path / "spec.pt", weights_only=True)) == spec


def test_reads_files_line_by_line_into_batches(spec, tmp_path):
    (tmp_path / "a.txt").write_text("Fine book\n\nbook\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes("\ufefffine unheard book fine\r\n".encode())
    (names, tokens), (last_names, last_tokens) = spec.read([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], 2)
    assert names == ["Fine book", "book"]
    assert tokens.tolist() == [[2, 3], [3, 0]]
    assert last_names == ["fine unheard book fine"]
    assert last_tokens.tolist() == [[2, 1, 3]]  # cut at max_length


def test_a_dash_reads_standard_input_as_it_comes(spec, monkeypatch):
    class Endless(io.RawIOBase):
        def __init__(self):
            self.lines = chain([b"\xef\xbb\xbffine\n"], repeat(b"fine\n"))  # begun with a byte order mark

        def __next__(self):
            return next(self.lines)

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Endless()))
    names, tokens = next(spec.read(["-"], 2))
    assert names == ["fine", "fine"]
    assert tokens.tolist() == [[2], [2]]


def test_a_text_without_tokens_is_one_unknown_token(spec):
    assert spec.encode("   ") == [1]


def test_missing_file_names_its_neighbour(spec, tmp_path):
    (tmp_path / "reviews.txt").write_text("fine", encoding="utf-8")
    with pytest.raises(UserError, match=r"review.txt: no such file; did you mean 'reviews.txt'"):
        next(spec.read([str(tmp_path / "review.txt")], 2))


def test_folder_and_bad_encoding_are_refused(spec, tmp_path):
    (tmp_path / "gbk.txt").write_bytes(b"fine\n" + "很好".encode("gbk"))
    with pytest.raises(UserError, match="found a folder"):
        next(spec.read([str(tmp_path)], 2))
    with pytest.raises(UserError, match=r"gbk.txt line 2: byte 1 \(0xba\) is not UTF-8"):
        next(spec.read([str(tmp_path / "gbk.txt")], 2))


def test_preprocessing_holds_all_that_the_input_depends_on(spec):
    said = spec.preprocessing()
    assert all(isinstance(value, str) for value in said.values())
    assert json.loads(said["vocabulary"]) == list(spec.tokens)
    assert json.loads(said["class_names"]) == ["bad", "good"]
    assert said["tokenizer"].startswith("words: ")
    assert "3 tokens" in said["max_length"]
