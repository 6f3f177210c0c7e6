"""VPO becomes a dataset folder: which pixels, which seconds, a sample per row or photograph, nothing silently lost."""

import csv
import json

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as evaluation
from datasets import vpo
from datasets.folder import FolderDataset
from datasets.importing import Sound
from datasets.manifest import read_manifest
from utils.errors import UserError, run_script
from utils.scoring.sample_scores import score_sample

RATE = 8000
STEP = 1.5 / 32768  # rounding to 16 bits
HEAD = ["img_Id", "ann_Ids", "cateId", "cateName", "vgg_file", "split", "audio_pos"]
SIZE = (224, 224)  # (H, W): what scores are computed at, so that pixels can be counted by hand
TWO_ROWS = "000000489267"
OTHER = "000000000370"
SEVERAL = "000000041772"


def label_map(**categories):
    """The first category top left, the second bottom right, a quarter each; 28 columns beside the first are 255."""
    labels = np.zeros(SIZE, np.uint8)
    first, second = [*categories.values(), 0, 0][:2]
    labels[:112, :112], labels[112:, 112:] = first, second
    labels[:112, 112:140] = 255
    return labels


def write_image(path, labels=None, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if labels is None:
        Image.new("RGB", SIZE[::-1], (90, 120, 60)).save(path)
        return
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([255, 255, 255] + [0, 0, 0] * 255)  # colours that would mislead
    image.save(path)


def write_list(path, rows, head=HEAD, encoding="utf-8", line_end="\n"):
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, lineterminator=line_end)
        writer.writerows([head, *rows])


def recordings():
    """Name -> (T,) or (T, 2) int16: longer than 3 s, shorter, stereo."""
    rng = np.random.default_rng(5)
    draw = lambda *shape: rng.integers(-9000, 9000, shape).astype(np.int16)  # noqa: E731
    return {"-aB_1_30000_40000": draw(40000), "short_0_10000": draw(10000), "stereo_7_17000": draw(32001, 2)}


LONG, SHORT, STEREO = recordings()


@pytest.fixture
def source(tmp_path):
    """VPO in miniature, as unpacked: archives side by side, recordings in an archive of their own."""
    root = tmp_path / "download" / "VPO"
    audios = tmp_path / "download" / "VGGSound" / "audios"
    audios.mkdir(parents=True)
    for name, waveform in recordings().items():
        soundfile.write(audios / f"{name}.wav", waveform, RATE, subtype="PCM_16")

    ss = root / "VPO-SS"
    write_image(ss / "data/dog/000000000139.jpg")
    write_image(ss / "mask/dog/000000000139_000000157452.png", label_map(dog=18))
    write_image(ss / "data/cell phone/000000000285.jpg")
    write_image(ss / "mask/cell phone/000000000285_000000000007.png", label_map(phone=77), "P")
    write_list(
        root / "vpo_ss_data_stereo.csv",
        [
            [139, 157452, 18, "dog", LONG, "test", 0.25],
            [285, 7, 77, "cell phone", SHORT, "val", 1.0],
            [632, 9, 92, "male", "nowhere", "train", 0.5],
        ],
        encoding="utf-8-sig",
        line_end="\r\n",
    )
    write_list(root / "vpo_ss_data.csv", [[139, 157452, 18, "dog", LONG, "test"]], HEAD[:-1])

    ms = root / "VPO-MS"
    write_image(ms / f"data/{TWO_ROWS}.jpg")
    write_image(ms / f"mask/{TWO_ROWS}.png", label_map(dog=18, cat=17))
    write_image(ms / f"data/{OTHER}.jpg")
    write_image(ms / f"mask/{OTHER}.png", label_map(car=3, sheep=20), "P")  # no female, and a sheep that no row has
    two_rows = [
        [489267, 157452, 18, "dog", LONG, "test", 0.25],
        [489267, 157453, 17, "cat", SHORT, "test", 0.75],
    ]
    other = [[370, 436109, 3, "car", LONG, "test", 0], [370, 436110, 93, "female", STEREO, "test", 1]]
    write_list(root / "vpo_ms_data_stereo.csv", [*two_rows, *other])

    several = root / "VPO-MSMI"
    write_image(several / f"data/{SEVERAL}.jpg")
    write_image(several / f"mask/{SEVERAL}.png", label_map(dog=18, other_dog=18))
    write_list(
        several / "vpo_msmi_data_stereo.csv",
        [
            *([*row, 0] for row in two_rows),
            [41772, 159191, 18, "dog", LONG, "test", 0.1, 1],
            [41772, 159192, 18, "dog", STEREO, "test", 0.9, 1],
        ],
        [*HEAD, "multi_instance"],
    )
    return tmp_path / "download"


def convert(source, out, *options):
    return vpo.main(["--source", str(source), "--out", str(out), *options])


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def middle(waveform):
    """The middle 3 s by the definition: of the samples, centred, repeated where too few."""
    mono = (waveform.mean(axis=1) if waveform.ndim == 2 else waveform) / 32768
    length = 3 * RATE
    start = max(0, len(mono) // 2 - length // 2)
    kept = mono[start : start + length]
    return np.array([kept[k % len(kept)] for k in range(length)])


def test_ss_is_one_sample_per_row_of_the_split(source, tmp_path, capsys):
    manifest = convert(source, tmp_path / "out", "--subset", "ss")
    data = FolderDataset(tmp_path / "out")
    assert data.ids == ["000000000139_157452", "000000000285_7"]  # "val" is test; ids are unpadded
    quarter, band = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    quarter[:112, :112], band[:112, 112:140] = True, True
    for sample in data:  # one mask of mode L, one with a palette
        np.testing.assert_array_equal(sample.gt_mask, quarter)
        np.testing.assert_array_equal(sample.gt_ignore, band)
    entry = manifest.samples["000000000285_7"]
    assert (entry.group, entry.categories, entry.scenario, entry.blank) == ("000000000285", ("cell phone",), "", False)
    assert entry.details == {"cateId": [77], "ann_Ids": ["7"], "vgg_file": [SHORT], "audio_pos": [1.0]}
    printed = capsys.readouterr().out
    assert "list: " in printed and "vpo_ss_data_stereo.csv" in printed
    assert "VPO-SS: 2 samples in 2 groups, 2 categories, 0 blank masks, written to" in printed
    assert "counts: 2 samples, published 890" in printed
    assert any("COCO's" in note for note in manifest.notes)


def test_both_protocols_of_ss_are_the_same_and_say_so(source, tmp_path, capsys):
    convert(source, tmp_path / "out", "--subset", "ss", "--protocol", "mixed")
    written = files_of(tmp_path / "out")
    convert(source, tmp_path / "out", "--subset", "ss", "--protocol", "per_object")
    assert files_of(tmp_path / "out") == written
    assert capsys.readouterr().out.count("mixed and per_object are the same") == 2


def test_mixed_is_one_sample_per_photograph(source, tmp_path):
    manifest = convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "mixed")
    data = {sample.id: sample for sample in FolderDataset(tmp_path / "out")}
    assert sorted(data) == [OTHER, TWO_ROWS]
    both = np.zeros(SIZE, bool)
    both[:112, :112] = both[112:, 112:] = True
    for sample in data.values():  # dog and cat; car, and the sheep that no row names
        np.testing.assert_array_equal(sample.gt_mask, both)
        assert sample.gt_ignore.sum() == 112 * 28
    assert manifest.samples[TWO_ROWS].categories == ("dog", "cat")
    assert manifest.samples[TWO_ROWS].details["ann_Ids"] == ["157452", "157453"]
    assert manifest.counts == {"samples": 2, "groups": 2, "categories": 4, "blank_masks": 0, "left_out": 0}
    assert not manifest.published  # nobody says how many


def test_mixed_sounds_are_the_sum_of_the_middle_3_seconds(source, tmp_path):
    convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "mixed")
    waves = recordings()
    for stem, names in ((TWO_ROWS, (LONG, SHORT)), (OTHER, (LONG, STEREO))):
        waveform, rate = soundfile.read(tmp_path / "out" / "wav" / f"{stem}.wav")
        expected = sum(middle(waves[name]) for name in names)
        assert (rate, waveform.shape) == (RATE, (3 * RATE,))
        np.testing.assert_allclose(waveform, expected, atol=STEP)


def test_per_object_is_one_sample_per_row(source, tmp_path, capsys):
    manifest = convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "per_object")
    data = {sample.id: sample for sample in FolderDataset(tmp_path / "out")}
    assert sorted(data) == [f"{OTHER}_436109", f"{OTHER}_436110", f"{TWO_ROWS}_157452", f"{TWO_ROWS}_157453"]
    dog, cat = data[f"{TWO_ROWS}_157452"], data[f"{TWO_ROWS}_157453"]
    assert dog.gt_mask[:112, :112].all() and dog.gt_mask.sum() == 112 * 112
    assert cat.gt_mask[112:, 112:].all() and cat.gt_mask.sum() == 112 * 112
    np.testing.assert_array_equal(dog.gt_ignore, cat.gt_ignore)
    waves = recordings()
    for stem, name in ((f"{TWO_ROWS}_157452", LONG), (f"{TWO_ROWS}_157453", SHORT), (f"{OTHER}_436110", STEREO)):
        assert data[stem].sampling_rate == RATE
        np.testing.assert_allclose(data[stem].waveform, middle(waves[name]), atol=STEP)
    assert {entry.group for entry in manifest.samples.values()} == {OTHER, TWO_ROWS}
    # The female of one row is not in its label map: kept, counted and marked.
    assert [stem for stem, entry in manifest.samples.items() if entry.blank] == [f"{OTHER}_436110"]
    assert manifest.samples[f"{OTHER}_436110"].categories == ("female",)
    printed = capsys.readouterr().out
    assert "VPO-MS: 4 samples in 2 groups, 4 categories, 1 blank masks" in printed
    assert "counts: 4 samples, published 2157" in printed
    assert f"note: 1 masks have no pixel of what sounds and are kept as blank: {OTHER}_436110" in printed


@pytest.mark.parametrize(
    ("protocol", "stems"),
    [
        ("mixed", [SEVERAL, TWO_ROWS]),
        ("per_object", [f"{SEVERAL}_159191", f"{SEVERAL}_159192", f"{TWO_ROWS}_157452", f"{TWO_ROWS}_157453"]),
    ],
)
def test_rows_of_msmi_with_single_instances_live_in_ms(source, tmp_path, protocol, stems):
    manifest = convert(source, tmp_path / "out", "--subset", "msmi", "--protocol", protocol)
    assert sorted(manifest.samples) == stems
    scenarios = {stem[:12]: entry.scenario for stem, entry in manifest.samples.items()}
    assert scenarios == {SEVERAL: "multi_instance", TWO_ROWS: "single_instance"}
    for sample in FolderDataset(tmp_path / "out"):
        if sample.id.startswith(SEVERAL):  # a label map knows categories, not things
            assert sample.gt_mask.sum() == 2 * 112 * 112


def test_files_are_linked_and_the_source_stays_as_it_was(source, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()}
    convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "per_object")
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in source.rglob("*") if path.is_file()}
    assert after == before
    linked = tmp_path / "out" / "image" / f"{TWO_ROWS}_157452.jpg"
    assert linked.samefile(source / "VPO" / "VPO-MS" / "data" / f"{TWO_ROWS}.jpg")


def test_what_cannot_be_read_is_left_out_by_name_and_the_rest_is_written(source, tmp_path, capsys):
    ms = source / "VPO" / "VPO-MS"
    rows = [[number, number, 18, "dog", LONG, "test", 0.5] for number in range(1, 6)]
    rows.append([6, 6, 18, "dog", "gone", "test", 0.5])
    write_list(source / "VPO" / "vpo_ms_data_stereo.csv", rows)
    for number in range(1, 7):
        write_image(ms / f"data/{number:012d}.jpg")
        write_image(ms / f"mask/{number:012d}.png", label_map(dog=18))
    broken = ms / "data/000000000002.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    write_image(ms / "mask/000000000003.png", np.where(label_map(dog=18) > 0, 255, 0).astype(np.uint8))
    write_image(ms / "mask/000000000004.png", label_map(dog=38))  # what a palette's colour turns into in grey
    (ms / "mask/000000000005.png").unlink()
    argv = ["--subset", "ms", "--protocol", "per_object", "--source", str(source), "--out", str(tmp_path / "out")]
    assert run_script(lambda: vpo.main(argv)) == 2
    said = capsys.readouterr()
    assert "found 5 that cannot be read, which are left out (000000000002_2: " in said.err
    assert "VPO-MS: 1 samples in 1 groups" in said.out
    manifest = read_manifest(tmp_path / "out")
    assert {stem: why[:32] for stem, why in manifest.left_out.items()} == {
        "000000000002_2": "cannot read the image " + str(broken)[:10],
        "000000000003_3": "expected a category in the label",
        "000000000004_4": "expected only category numbers i",
        "000000000005_5": "expected an image file at " + str(ms)[:6],
        "000000000006_6": "expected a sound file at " + str(source)[:7],
    }
    assert FolderDataset(tmp_path / "out").ids == ["000000000001_1"]


@pytest.mark.parametrize("protocol", ["mixed", "per_object"])
def test_an_interrupted_import_ends_like_an_undisturbed_one(source, tmp_path, monkeypatch, protocol):
    options = ("--subset", "ms", "--protocol", protocol)
    convert(source, tmp_path / "undisturbed", *options)
    read, calls = Sound.read, []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Sound, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "out", *options)
    with pytest.raises(UserError, match="expected a finished import"):
        read_manifest(tmp_path / "out")
    convert(source, tmp_path / "out", *options)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_a_folder_of_another_protocol_or_list_is_refused(source, tmp_path):
    convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "mixed")
    with pytest.raises(UserError, match=r"found VPO-MS \(subset ms, protocol mixed, .*\); choose another --out"):
        convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "per_object")
    path = source / "VPO" / "vpo_ms_data_stereo.csv"
    path.write_text(path.read_text().replace(SHORT, STEREO))  # the same names with other sounds
    with pytest.raises(UserError, match=r"found VPO-MS \(.*list_sha256 [0-9a-f]{16}\); choose another --out"):
        convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "mixed")


def test_recordings_may_lie_elsewhere(source, tmp_path):
    (source / "VGGSound").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"expected one folder audios somewhere in .*, found none; name the folder"):
        convert(source, tmp_path / "out", "--subset", "ss")
    for place in ("elsewhere", "elsewhere/audios"):
        manifest = convert(source, tmp_path / "out", "--subset", "ss", "--audio", str(tmp_path / place))
        assert manifest.counts["samples"] == 2
    for folder in ("one", "two"):
        (source / folder / "audios").mkdir(parents=True)
    with pytest.raises(UserError, match=r"expected one folder audios .*, found .*one/audios, .*two/audios; name the"):
        convert(source, tmp_path / "out", "--subset", "ss")


def test_mistakes_end_in_a_sentence(source, tmp_path):
    out, root = tmp_path / "out", source / "VPO"
    with pytest.raises(UserError, match="expected --protocol mixed or per_object for VPO-MS, found none"):
        convert(source, out, "--subset", "ms")
    with pytest.raises(UserError, match=r"expected the folder VPO-SS in .*VPO-SS, found data, mask; give the folder"):
        convert(root / "VPO-SS", out, "--subset", "ss")
    lists = {
        "expected the columns img_Id, .* found img_Id, ann_Ids; download": (["img_Id", "ann_Ids"], [[1, 2]]),
        "expected a number as img_Id in .*csv line 2, found 'x'": (HEAD, [["x", 2, 18, "dog", LONG, "test", 0]]),
        "expected an annotation, one of VPO's 21 categories .* cateId 1,": (HEAD, [[1, 2, 1, "dog", LONG, "test", 0]]),
        "expected samples of VPO-SS for .*split test, .*found none": (HEAD, [[1, 2, 18, "dog", LONG, "train", 0]]),
    }
    for message, (head, rows) in lists.items():
        write_list(root / "vpo_ss_data_stereo.csv", rows, head)
        with pytest.raises(UserError, match=message):
            convert(source, out, "--subset", "ss")
    write_list(root / "VPO-MSMI" / "vpo_msmi_data_stereo.csv", [[1, 2, 18, "dog", LONG, "test", 0]])
    with pytest.raises(UserError, match="expected the columns .*, multi_instance in .*msmi_data_stereo.csv"):
        convert(source, out, "--subset", "msmi", "--protocol", "mixed")
    for path in root.glob("vpo_ss_data*.csv"):
        path.unlink()
    with pytest.raises(UserError, match=r"expected vpo_ss_data\*\.csv in .* or its folder VPO-SS, found none"):
        convert(source, out, "--subset", "ss")


def test_ids_may_be_padded_or_decimal(source, tmp_path):
    rows = [
        ["000000000139", "157452.0", "18.0", "dog", f"{LONG}.wav", "test", ""],
        ["285.0", 7, 77, "cell phone", LONG, "val", 1],
    ]
    write_list(source / "VPO" / "vpo_ss_data_stereo.csv", rows)
    manifest = convert(source, tmp_path / "out", "--subset", "ss")
    assert sorted(manifest.samples) == ["000000000139_157452", "000000000285_7"]
    assert manifest.samples["000000000139_157452"].details["audio_pos"] == [None]


def test_ignored_pixels_do_not_count(source, tmp_path):
    """A prediction that also covers the ignored band is right: 1 without the band, 12544 / 15680 = 0.8 with it."""
    convert(source, tmp_path / "out", "--subset", "ss")
    sample = FolderDataset(tmp_path / "out")[0]
    score_map = np.full(SIZE, 0.1, np.float32)
    score_map[:112, :140] = 0.9
    assert score_sample(score_map, sample.gt_mask).iou_fixed == pytest.approx(112 * 112 / (112 * 140))  # 0.8
    assert score_sample(score_map, sample.gt_mask, gt_ignore=sample.gt_ignore).iou_fixed == 1


def test_it_can_be_evaluated(source, fake_models, tmp_path):
    convert(source, tmp_path / "out", "--subset", "ms", "--protocol", "per_object")
    options = ["--draws", "50", "--methods", "cross_modal", "--limit", "4", "--device", "cpu"]
    options += ["--test_data_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "results")]
    results = evaluation.main(options)
    data = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))["data"]
    assert (data["samples"], data["gt_empty"], data["gt_ignore"]) == (4, 1, 4)
    # The whole image: a quarter of what counts in three samples, nothing in the blank one; 3/4 * 0.25 if all counted.
    counting = 224 * 224 - 112 * 28
    assert results.scores["everything"]["paper"]["J"]["value"] == pytest.approx(
        3 * (112 * 112 / counting) / 4
    )  # 0.2 not 0.1875


def test_an_object_that_the_list_has_twice_is_taken_once_and_said():
    row = vpo.Row("000000000001", "7", 3, "car", "one", None, None)
    other = vpo.Row("000000000001", "8", 3, "car", "two", None, None)
    again = vpo.Row("000000000001", "7", 3, "car", "three", None, None)
    rows, left_out = vpo.without_repetition([row, other, again])
    assert rows == [row, other]
    assert left_out == {"000000000001_7 with three": "the list has this object twice; the row with one is taken"}
