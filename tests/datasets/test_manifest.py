"""A manifest is read as it was written, counts what it holds, and nothing else is taken for one."""

import json
from dataclasses import replace

import pytest

from datasets.manifest import (
    MANIFEST,
    UNFINISHED,
    Entry,
    Manifest,
    read_manifest,
    read_manifest_file,
    write_manifest,
)
from utils.errors import UserError

SAMPLES = {
    "b_1": Entry(group="b", categories=("dog", "cat"), scenario="multi", blank=True, details={"frame": 1}),
    "a\N{LATIN SMALL LETTER E WITH ACUTE}.mp4_1": Entry(group="a", categories=("dog",)),
    "a_2": Entry(group="a"),
}
WHOLE = Manifest(
    benchmark="Toy",
    source={"folder": "/data/toy"},
    options={"split": "test", "seed": 3},
    samples=SAMPLES,
    published={"samples": 4, "groups": 2, "categories": 2, "blank_masks": 0},
    left_out={"c_1": "no \N{LEFT DOUBLE QUOTATION MARK}sound\N{RIGHT DOUBLE QUOTATION MARK}"},
    notes=("Made for the test.",),
)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    write_manifest(WHOLE, tmp_path)
    assert read_manifest(tmp_path) == WHOLE
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_a_manifest_without_samples_is_read_too(tmp_path):
    empty = Manifest("Toy", {}, {}, {})
    write_manifest(empty, tmp_path)
    assert read_manifest(tmp_path) == empty
    assert empty.counts == {"samples": 0, "groups": 0, "categories": 0, "blank_masks": 0, "left_out": 0}


def test_the_file_is_json_with_a_line_per_sample_in_order(tmp_path):
    write_manifest(WHOLE, tmp_path)
    text = (tmp_path / MANIFEST).read_text(encoding="utf-8")
    values = json.loads(text)
    assert (values["manifest"], values["benchmark"], values["counts"]) == (1, "Toy", WHOLE.counts)
    assert list(values["samples"]) == sorted(SAMPLES)
    assert '\n  "a_2": {"group": "a", "categories": [], "blank": false},\n' in text
    assert '"scenario": "multi", "details": {"frame": 1}}' in text


def test_the_same_manifest_has_the_same_bytes(tmp_path):
    write_manifest(WHOLE, tmp_path)
    turned = replace(WHOLE, samples=dict(reversed(SAMPLES.items())))
    write_manifest(turned, tmp_path, "turned.json")
    assert (tmp_path / MANIFEST).read_bytes() == (tmp_path / "turned.json").read_bytes()


def test_counts_and_differences():
    assert WHOLE.counts == {"samples": 3, "groups": 2, "categories": 2, "blank_masks": 1, "left_out": 1}
    assert WHOLE.differences == ["3 samples, published 4", "1 blank masks, published 0"]
    assert replace(WHOLE, published={}).differences == []


def test_a_folder_without_a_manifest_has_none(tmp_path):
    assert read_manifest(tmp_path) is None
    assert read_manifest_file(tmp_path / UNFINISHED) is None


def test_an_unfinished_import_is_refused_even_beside_a_manifest(tmp_path):
    write_manifest(WHOLE, tmp_path)
    write_manifest(WHOLE, tmp_path, UNFINISHED)
    with pytest.raises(UserError, match="run the import's command again, it goes on where it stopped"):
        read_manifest(tmp_path)
    assert read_manifest_file(tmp_path / UNFINISHED) == WHOLE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "list indices"),
        ('{"name": "an app"}', "no 'manifest'"),
        ('{"manifest": 2}', "its version is 2, not 1"),
        ('{"manifest": 1, "benchmark": "Toy"}', "no 'source'"),
        ('{"manifest": 1, "benchmark": "Toy", "source": {"a": NaN}}', "invalid literal for int.* 'NaN'"),
        ("[" * 10**5, "maximum recursion depth"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text, reason):
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"to be a manifest of this project, found something else \({reason}"):
        read_manifest(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="to be a manifest of this project"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("text", "a_2 must be an object, not 'text'"),
        ({"categories": None}, "categories of 'a_2' must be a list of texts, not None"),
        ({"categories": "dog"}, "categories of 'a_2' must be a list of texts, not 'dog'"),
        ({"categories": ["dog", 1]}, r"categories of 'a_2' must be a list of texts, not \['dog', 1\]"),
        ({"categories": ["\ud800"]}, r"categories of 'a_2' must be a list of texts, not \['\\ud800'\]"),
        ({"group": 5}, "group of 'a_2' must be a text in UTF-8, not 5"),
        ({"group": "\udcff"}, r"group of 'a_2' must be a text in UTF-8, not '\\udcff'"),
        ({"blank": "no"}, "blank of 'a_2' must be true or false, not 'no'"),
        ({"blank": 0}, "blank of 'a_2' must be true or false, not 0"),
        ({"scenario": ["multi"]}, "scenario of 'a_2' must be a text"),
        ({"details": "frame 1"}, "details of 'a_2' must be an object"),
        ("group", "no 'group' of 'a_2'"),
        ("blank", "no 'blank' of 'a_2'"),
    ],
)
def test_a_sample_of_another_form_is_refused_with_its_stem_and_key(tmp_path, spoilt, reason):
    write_manifest(WHOLE, tmp_path)
    values = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    if isinstance(spoilt, dict):
        values["samples"]["a_2"] |= spoilt
    elif spoilt in values["samples"]["a_2"]:
        del values["samples"]["a_2"][spoilt]
    else:
        values["samples"]["a_2"] = spoilt
    (tmp_path / MANIFEST).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(UserError, match=rf"found something else \({reason}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("notes", "Made by hand.", "notes must be a list of texts"),
        ("published", {"samples": "4"}, "samples must be a number, not '4'"),
        ("source", ["a", "b"], "source must be an object"),
        ("samples", [], "samples must be an object"),
        ("left_out", "ab", "left_out must be an object"),
        ("benchmark", 1, "benchmark must be a text"),
    ],
)
def test_a_part_of_another_kind_is_refused(tmp_path, key, value, reason):
    write_manifest(WHOLE, tmp_path)
    values = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps({**values, key: value}), encoding="utf-8")
    with pytest.raises(UserError, match=reason):
        read_manifest(tmp_path)


def test_names_that_are_not_utf_8_are_written_as_codes(tmp_path):
    strange = replace(WHOLE, source={"folder": "/data/\udcff"}, left_out={"\udcff": "its name"})
    write_manifest(strange, tmp_path)
    assert read_manifest(tmp_path) == strange


def test_all_samples_that_are_no_entries_are_named_at_once(tmp_path):
    samples = {"a": {"group": 1}, "b": {"group": "b", "categories": [], "blank": 0}, "c": [], "d": {}, "e": {}}
    values = {"manifest": 1, "benchmark": "Toy", "source": {}, "options": {}, "samples": samples}
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"group of 'a' .*; blank of 'b' .*; c must be an object.* and 2 more\)"):
        read_manifest(tmp_path)
