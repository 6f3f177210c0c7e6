import pytest

from models.image_captioner.named_things import as_caption, listed
from utils.language.nouns import bare_nouns


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("dog, acoustic guitar, man", ["dog", "acoustic guitar", "man"]),
        ("Dog, Cat.", ["Dog", "Cat"]),
        ("1. dog\n2. acoustic guitar\n3) man", ["dog", "acoustic guitar", "man"]),
        ("- **Dog**\n* a cat\n• owl", ["Dog", "a cat", "owl"]),
        ("Things that can make sound:\n- dog\n- drum kit", ["dog", "drum kit"]),
        ("dog; cat and owl", ["dog", "cat", "owl"]),
        ("None.", ["None"]),
        ("", []),
        ("The image shows a man who plays a guitar, and a dog.", None),
    ],
)
def test_lists_are_taken_apart_and_sentences_are_not(answer, names):
    assert listed(answer) == names


@pytest.mark.parametrize(
    ("names", "caption"),
    [
        (["dog", "Acoustic  Guitar", "man"], "a dog, an acoustic guitar, a man"),
        (["the dog", "A dog", "two dogs"], "a dog, a dogs"),
        (["None"], ""),
        (["nothing", ""], ""),
        ([], ""),
    ],
)
def test_each_thing_is_named_once_with_an_article(names, caption):
    assert as_caption(names) == caption


@pytest.mark.parametrize("noun", ["saw", "drum", "cymbal", "bear", "owl", "sea lion", "fire truck", "drum kit", "bell"])
def test_the_noun_parser_finds_what_was_listed(noun):
    for answer in (f"{noun}, dog, man", f"1. dog\n2. {noun}\n3. man", f"- Dog\n- Man\n- {noun.title()}"):
        assert set(bare_nouns(as_caption(listed(answer)))) == {"dog", "man", noun}
