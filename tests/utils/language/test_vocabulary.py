"""Vocabularies from lists and files."""

from __future__ import annotations

import pytest

from utils.errors import UserError
from utils.language import audioset
from utils.language.vocabulary import read_vocabulary


def test_a_list_is_stripped_and_each_word_kept_once_in_order():
    assert read_vocabulary([" dog ", "sea lion", "dog", ""]) == ["dog", "sea lion"]


def test_a_file_has_a_word_a_line_and_comments(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("# animals\ndog\n\n  sea lion\n# and one more\ncafé\n", encoding="utf-8")
    assert read_vocabulary(path) == ["dog", "sea lion", "café"]
    assert read_vocabulary(str(path)) == ["dog", "sea lion", "café"]


def test_a_relative_path_is_found_here_first_then_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.language.vocabulary.REPOSITORY", tmp_path / "repository")
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
