"""Bare nouns of captions, wherever a caption puts them; prompts with one open place; vocabularies from anywhere."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.stamp_world.catalog import KINDS
from utils.errors import UserError
from utils.language import audioset, phrases
from utils.language.phrases import asking, bare_nouns, check_prompt, fill, read_vocabulary, thing_of

# Captions as BLIP and Florence-2 write them, with the nouns that a person takes out of them.
with Path(__file__).with_name("captions.csv").open(encoding="utf-8", newline="") as file:
    CAPTIONS = [(row["caption"], [*filter(None, row["nouns"].split(";"))]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_a_kind_is_found_wherever_it_stands(kind):
    kind, a_kind = kind.noun, kind.phrase
    assert bare_nouns(a_kind) == [kind]
    assert bare_nouns(f"{a_kind} and a piano") == [kind, "piano"]
    assert bare_nouns(f"a piano and {a_kind}") == ["piano", kind]
    assert bare_nouns(f"a guitar, {a_kind} and a piano") == ["guitar", kind, "piano"]
    assert bare_nouns(f"{a_kind}, a guitar and a piano") == [kind, "guitar", "piano"]
    assert bare_nouns(f"a guitar, a piano and {a_kind}") == ["guitar", "piano", kind]


def test_any_two_kinds_do_not_disturb_each_other():
    kinds = [kind for kind in KINDS if kind.noun != "saw"]
    for first, second in zip(kinds, kinds[7:] + kinds[:7], strict=True):
        caption = f"{first.phrase}, {second.phrase} and a saw"
        assert bare_nouns(caption) == [first.noun, second.noun, "saw"], caption


@pytest.mark.parametrize(
    ("caption", "nouns"),
    [
        ("a dog, a sea lion and a drum kit", ["dog", "sea lion", "drum kit"]),
        ("a violin and a bird", ["violin", "bird"]),
        ("a saw and a drum", ["saw", "drum"]),
        ("A man is playing a guitar", ["man", "guitar"]),
        ("two dogs running in a field", ["dogs", "field"]),
        ("a close up of a red fire truck parked on the street", ["fire truck", "street"]),
        ("A man and a woman singing into a microphone.", ["man", "woman", "microphone"]),
        ("a black and white photo of a train", ["train"]),
        ("the small brown dog", ["dog"]),
        ("the man's dog", ["man", "dog"]),
        ("there is a dog that is barking at a train", ["dog", "train"]),
        ("a teddy bear", ["teddy bear"]),
        ("a man playing a snare drum", ["man", "snare drum"]),
        ("Guitar is being played", ["guitar"]),
        ("an orange, corn and a saw", ["orange", "corn", "saw"]),
        ("an orange fox and a big, brown bear", ["fox", "bear"]),
        ("dog and drum", ["dog", "drum"]),
        ("a dog and a dog and a cat", ["dog", "cat"]),
        ("a dog. A dog and a bird.", ["dog", "bird"]),
        # lists, as a model asked for one gives them
        ("a dog, an acoustic guitar, a man", ["dog", "guitar", "man"]),
        ("a person, a police car, a lawn mower, a cell phone", ["person", "police car", "lawn mower", "cell phone"]),
        # long descriptions speak of the picture, too
        ("The image shows a man playing a guitar in front of a crowd.", ["man", "guitar", "crowd"]),
        ("In this image we can see a dog. On the right side of the image there is a car.", ["dog", "car"]),
        ("In the center of the image we can see a lady. In the left corner there is a clock.", ["lady", "clock"]),
        ("In the foreground there are two dogs, and in the background we can see a piano", ["dogs", "piano"]),
        ("The images show a train. The overall mood of the picture is cheerful.", ["train"]),
        ("A photo of many objects and a variety of bells.", ["bells"]),
        ("a dog and a picture frame", ["dog", "picture frame"]),
    ],
)
def test_captions(caption, nouns):
    assert bare_nouns(caption) == nouns


@pytest.mark.parametrize(("caption", "nouns"), CAPTIONS)
def test_captions_as_networks_write_them(caption, nouns):
    assert bare_nouns(caption) == nouns


def test_the_tagger_is_given_no_word_without_an_end(monkeypatch):
    tagger, given = phrases._hanta(), []
    fake = SimpleNamespace(
        tag_sent=lambda words, taglevel: given.extend(words) or tagger.tag_sent(words, taglevel=taglevel),
        tag_word=lambda word: given.append(word) or tagger.tag_word(word),
    )
    monkeypatch.setattr(phrases, "_hanta", lambda: fake)
    assert bare_nouns(f"a dog and a {'ab' * 60}") == ["dog"]
    assert max(map(len, given)) == 40


@pytest.mark.parametrize("caption", ["", "   ", "it is very big", "running and barking loudly", "...", "a", "##/##"])
def test_no_noun_is_an_empty_list(caption):
    assert bare_nouns(caption) == []


def test_a_missing_spacy_pipeline_is_the_users_to_install():
    with pytest.raises(UserError, match=r"spacy download NAME\) as the noun parser, found 'en_core_web_nowhere'"):
        bare_nouns("a dog", parser="en_core_web_nowhere")


def test_a_noun_parser_is_known_by_its_package_alone(monkeypatch, tmp_path):
    about = {"METADATA": "Name: en_x\nVersion: 1.0\n", "entry_points.txt": "[spacy_models]\nen_x = en_x\n"}
    (tmp_path / "en_x-1.0.dist-info").mkdir()
    for name, text in about.items():
        (tmp_path / "en_x-1.0.dist-info" / name).write_text(text)
    assert [phrases.PARSER.holds(value) for value in ("hanta", "en_x", "numpy", "", ["en_x"])] == [True, *[False] * 4]
    monkeypatch.syspath_prepend(tmp_path)
    assert phrases.PARSER.holds("en_x") and not {"spacy", "en_x"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("tagged", "nouns"),
    [
        ("a_DET red_ADJ fire_NOUN truck_NOUN and_CCONJ two_NUM dogs_NOUN", ["fire truck", "dogs"]),
        ("a_DET washing_VERB machine_NOUN", ["washing machine"]),
        ("a_DET hot_ADJ dog_NOUN and_CCONJ a_DET barking_VERB dog_NOUN", ["hot dog", "dog"]),
        ("a_DET field_NOUN with_ADP no_DET dog_NOUN", ["field"]),
        (
            "a_DET man_NOUN without_ADP a_DET hat_NOUN or_CCONJ gloves_NOUN riding_VERB a_DET horse_NOUN",
            ["man", "horse"],
        ),
        ("he_PRON is_AUX not_PART wearing_VERB a_DET helmet_NOUN on_ADP a_DET street_NOUN", ["street"]),
        ("a_DET labrador_PROPN retriever_NOUN barks_VERB", ["labrador retriever"]),
        ("a_DET dog_NOUN 's_PART face_NOUN", ["dog", "face"]),
        ("a_DET dog_NOUN that_PRON can_AUX make_VERB a_DET sound_NOUN", ["dog"]),
        ("arafed_NOUN image_NOUN of_ADP a_DET cat_NOUN", ["cat"]),
    ],
)
def test_a_spacy_pipeline_is_read_in_the_same_way(monkeypatch, tagged, nouns):
    tokens = [SimpleNamespace(text=word, pos_=part) for word, part in (one.split("_") for one in tagged.split())]
    monkeypatch.setattr("utils.language.phrases._spacy_pipeline", {"en_core_web_sm": lambda caption: tokens}.get)
    assert bare_nouns("whatever it says", parser="en_core_web_sm") == nouns


def test_needs_no_corpus_and_no_network(tmp_path):
    code = "from utils.language.phrases import bare_nouns; print(bare_nouns('a dog, a sea lion and a drum kit'))"
    environment = {**os.environ, "NLTK_DATA": str(tmp_path), "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "['dog', 'sea lion', 'drum kit']", done.stderr


def test_a_word_is_put_in_whatever_it_holds():
    assert fill(check_prompt("A photo of {}", "prompt"), "sea lion") == "A photo of sea lion"
    assert fill("{}", "{0} {x}") == "{0} {x}"


@pytest.mark.parametrize("prompt", ["", "a dog", "{} and {}", "{0}", 3])
def test_anything_else_is_refused(prompt):
    with pytest.raises(UserError, match=r'one "{}" for the word as the setting prompt'):
        check_prompt(prompt, "prompt")


@pytest.mark.parametrize(
    "noun", ["man", "women", "girls", "people", "babies", "singers", "police officer", "guitarist"]
)
def test_people_may_be_known_as_persons(noun):
    query = asking("A photo of {}", noun, 0.3)
    assert (query.text, query.score, query.wider) == (f"A photo of {noun}", 0.3, "A photo of person")


@pytest.mark.parametrize("noun", ["dog", "person", "man's dog", "boy scout tent", "woman statue", "kidney", "manhole"])
def test_nothing_else_is(noun):
    assert asking("the {}!", noun).wider is None


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("A photo of dog", "dog"),
        ("a photo of a Guitar", "guitar"),
        ("The picture of the sea  lion.", "sea lion"),
        ("photograph of some birds", "birds"),
        ("an image of an electric guitar", "electric guitar"),
        ("dog", "dog"),
        ("a dog", "a dog"),
        ("A dog is barking.", "a dog is barking"),
        ("a man takes a photo of a dog", "a man takes a photo of a dog"),
        ("a photo of anchors", "anchors"),
        ("a photo of", "a photo of"),
        ("photo", "photo"),
        (" . ", ""),
        ("", ""),
    ],
)
def test_the_thing_a_query_is_about(text, thing):
    assert thing_of(text) == thing


def test_what_was_put_into_a_prompt_comes_out():
    for word in ("dog", "sea lion", "b-flat clarinet"):
        assert thing_of(fill("A photo of {}", word)) == word


def test_a_list_is_stripped_and_each_word_kept_once_in_order():
    assert read_vocabulary([" dog ", "sea lion", "dog", ""]) == ["dog", "sea lion"]


def test_a_file_has_a_word_a_line_and_comments(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# animals\ndog\n\n  sea lion\n# and one more\ncafé\n", encoding="utf-8")
    assert read_vocabulary(path) == ["dog", "sea lion", "café"]
    assert read_vocabulary(str(path)) == ["dog", "sea lion", "café"]


def test_a_relative_path_is_found_here_first_then_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.language.phrases.REPOSITORY", tmp_path / "repository")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "words.txt").write_text("dog\n")
    assert read_vocabulary("words.txt") == ["dog"]
    (tmp_path / "words.txt").write_text("cat\n")
    assert read_vocabulary("words.txt") == ["cat"]


def test_audioset_is_the_bundled_vocabulary_and_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audioset").write_text("cat\n")
    found = read_vocabulary("audioset")
    assert found == list(audioset.vocabulary())
    assert {"dog", "person", "car", "guitar"} < set(found) and "Bark" not in found
    assert read_vocabulary("./audioset") == ["cat"]
    assert read_vocabulary(["audioset"]) == ["audioset"]


def test_a_missing_file_and_an_empty_list_are_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match=r"vocabulary file.*nowhere.txt"):
        read_vocabulary(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match="at least one word, found none in the list given"):
        read_vocabulary([])
