"""labels.csv is read as spreadsheets write it, is checked, and stands in for a manifest."""

from __future__ import annotations

import pytest

from datasets.check import check_contents, check_headers
from datasets.controls import AudioControls
from datasets.folder import FolderDataset
from datasets.labels import LABELS, read_labels
from datasets.manifest import MANIFEST, write_manifest
from tests.datasets.check.check_folders import left_half, manifest_of, picture, save_mask, sound_folder
from utils.errors import UserError
from utils.types import Entry

TABLE = "stem,category,group,scenario\na,dog,yard,single\nb,dog; cat,yard,multi\nc,\u00fc,,\n"
ENTRIES = {
    "a": Entry("yard", ("dog",), "single", None),
    "b": Entry("yard", ("dog", "cat"), "multi", None),
    "c": Entry("c", ("\u00fc",), "", None),
}


def write(root, text, encoding="utf-8"):
    (root / LABELS).write_bytes(text.encode(encoding))
    return root / LABELS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("dog; cat", "dog|cat"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ";").replace("dog; cat", '"dog; cat"'),
        "sep=,\n" + TABLE,
        "\n" + TABLE.replace("stem,category", " Stem , CATEGORY ") + ",,,\n\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path, text, encoding):
    assert read_labels(write(tmp_path, text, encoding)) == ENTRIES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected the columns stem and category, group, scenario in .*, found none"),
        ("name,category\na,dog\n", "expected the columns stem .*, found category, name; mend it, or move it away"),
        ("stem,notes\na,x\n", "expected the columns stem and category, group, scenario"),
        ("stem,category,category\na,x,y\n", "found category twice"),
        ("stem,category\n", "found no row"),
        ("stem,category\na,dog\na,cat\nb\n,cat\n", "1 row without a stem .line 5.*line 4.*1 stem in several rows .a."),
        ("stem,category\na,dog,cat\n", "1 row with another number of cells than the 2 columns .line 2."),
        ('stem,category\na,"dog\n', "a row that cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        read_labels(write(tmp_path, text))


def test_an_encoding_that_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(UserError, match='found another encoding; save it as "CSV UTF-8"'):
        read_labels(write(tmp_path, TABLE, "cp1252"))


def test_the_dataset_has_groups_categories_and_controls(tmp_path):
    sound_folder(tmp_path)
    write(tmp_path, "stem,category,group\na,dog,x\nb,cat,x\nc,cow,\n")
    dataset = FolderDataset(tmp_path)
    entries, unit = dataset.entries()
    assert (entries["b"], unit) == (Entry("x", ("cat",), "", None), "clip")
    assert dataset[0].gt_mask.any()
    controls = AudioControls(dataset, ["swap", "offscreen"])
    assert {stem: controls.donors["swap"][stem] for stem in "ab"} == {"a": "b", "b": "a"}
    assert {stem: controls.donors["offscreen"][stem] for stem in "ab"} == {"a": "c", "b": "c"}
    described = dataset.describe()["manifest"]
    assert described["benchmark"] == tmp_path.name and len(described["sha256"]) == 64
    with pytest.raises(UserError, match=r"labels.csv says what belongs together, so leave the option out"):
        dataset.entries(2)


def test_one_picture_with_several_sounds_is_a_group_of_an_image(tmp_path):
    sound_folder(tmp_path)
    for stem in "ab":
        picture(7).save(tmp_path / "image" / f"{stem}.png")
    write(tmp_path, "stem,group\na,x\nb,x\nc,\n")
    assert FolderDataset(tmp_path).entries()[1] == "image"
    write(tmp_path, "stem,category\na,x\nb,x\nc,\n")
    assert FolderDataset(tmp_path).entries()[1] == "sample"


def test_the_checker_names_stems_that_do_not_fit_and_says_what_to_do(tmp_path):
    save_mask(sound_folder(tmp_path), "a", left_half() * 0)
    write(tmp_path, "stem,categroy,scenario\na,dog,x\nb,cat,x\n0001,cow,y\n")
    found = {one.kind: one for one in check_contents(tmp_path).findings}
    assert found["lost_labels"].names == ("0001",) and found["unlabelled_samples"].names == ("c",)
    assert found["unread_columns"].text().startswith("1 column of labels.csv that is not read (categroy); only stem,")
    assert "wrong_blank_flags" not in found and "blank_masks" in found
    assert [one.kind for one in check_headers(tmp_path).errors] == ["lost_labels", "unlabelled_samples"]


def test_faults_of_the_file_are_a_finding_among_the_others(tmp_path):
    sound_folder(tmp_path)
    (tmp_path / "wav" / "notes.txt").touch()
    write(tmp_path, "stem,category\na,dog\na,cat\nb\n,x\nz,y\n")
    report = check_headers(tmp_path)
    kinds = ["stray", "strange_labels", "strange_labels", "strange_labels", "lost_labels", "unlabelled_samples"]
    assert [one.kind for one in report.errors] == kinds
    assert report.errors[3].text() == "labels.csv with 1 stem in several rows (a); mend labels.csv, or move it away"


def test_a_manifest_and_labels_are_not_mixed(tmp_path):
    write_manifest(manifest_of("abc"), sound_folder(tmp_path))
    write(tmp_path, TABLE)
    with pytest.raises(UserError, match=f"expected {MANIFEST} or {LABELS} in .*, found both; keep {MANIFEST} where"):
        FolderDataset(tmp_path)
    (error,) = check_headers(tmp_path).errors
    assert error.kind == "strange_labels" and "found both" in error.found
