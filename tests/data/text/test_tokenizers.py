import pytest

from tenfold.data.text.tokenizers import (
    TOKENIZERS,
    characters,
    check_tokenizer,
    suited_tokenizer,
    words,
)
from tenfold.errors import UserError


def test_words_are_lower_case_and_signs_stand_alone():
    assert words("Don't buy: 2nd-rate, naïve!") == ["don't", "buy", ":", "2nd", "-", "rate", ",", "naïve", "!"]


def test_characters_split_chinese_and_keep_other_words_whole():
    assert characters("装了Vista系统，4999元！") == ["装", "了", "vista", "系", "统", "，", "4999", "元", "！"]


def test_characters_of_other_scripts_are_words():
    text = "The battery's 3 hours; приятный 좋은 책"
    assert characters(text) == words(text)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_blank_text_has_no_tokens(name):
    assert TOKENIZERS[name](" \t\u3000") == []


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["性能不错，就是 Vista 太慢"], "characters"),
        (["The word 好 means good."], "words"),
        (["とても良い本です"], "characters"),
        (["12345 !!"], "words"),
    ],
)
def test_auto_goes_by_the_script_of_most_letters(texts, expected):
    assert suited_tokenizer(texts) == expected


def test_unknown_tokenizer_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match=r"data.tokenizer: found 'character'.*did you mean 'characters'"):
        check_tokenizer("character")
