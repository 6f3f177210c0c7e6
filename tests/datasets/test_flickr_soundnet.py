"""The Flickr-SoundNet importer on a miniature of its layout: consensus, lists, what is missing, resuming, scores."""

import numpy as np
import pytest
import soundfile
from PIL import Image

import eval as evaluation
from datasets import flickr_soundnet, importing
from datasets.folder import FolderDataset
from datasets.importing import run_import
from datasets.manifest import UNFINISHED, read_manifest
from utils.errors import UserError, run_script

RATE = 16000
SIZE = (4, 8)  # (H, W): a column is 32 of 256, a row 64
BOXES = {  # xmin, ymin, xmax, ymax at 256 x 256
    "10000130166": [(0, 0, 128, 128), (64, 0, 192, 128), (96, 0, 256, 256)],
    "2401957951": [(0, 0, 64, 64), (64, 64, 128, 128), (192, 192, 256, 300)],  # nobody agrees
    "9992787425": [(32, 64, 128, 192)] * 3,
    "3908875350": [(0, 0, 256, 256)] * 3,
}
TWO_AGREE = {
    "10000130166": ["00111100", "00111100", "00000000", "00000000"],
    "2401957951": ["00000000"] * 4,
    "9992787425": ["00000000", "01110000", "01110000", "00000000"],
    "3908875350": ["11111111"] * 4,
}
ANY = {
    "10000130166": ["11111111", "11111111", "00011111", "00011111"],
    "2401957951": ["11000000", "00110000", "00000000", "00000011"],
    "9992787425": TWO_AGREE["9992787425"],
    "3908875350": TWO_AGREE["3908875350"],
}


def xml(boxes):
    """Three annotators, a box each."""
    drawn = "".join(
        f"<annotator><bbox><id>{number}</id><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bbox>"
        "</annotator>"
        for number, (x0, y0, x1, y1) in enumerate(boxes)
    )
    return f"<annotation>{drawn}</annotation>"


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "source"
    for folder in ("Annotations", "frames", "audio"):
        (root / folder).mkdir(parents=True)
    for name, boxes in BOXES.items():
        (root / f"Annotations/{name}.xml").write_text(xml(boxes))
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(root / f"frames/{name}.jpg")
        soundfile.write(root / f"audio/{name}.wav", np.full(RATE, 0.25), RATE, subtype="PCM_16")
    return root


def run(source, out, *more):
    return flickr_soundnet.main(
        ["--source", str(source), "--annotations", str(source / "Annotations"), "--out", str(out), *map(str, more)]
    )


def masks(out):
    return {
        sample.id: ["".join("1" if pixel else "0" for pixel in row) for row in sample.gt_mask]
        for sample in FolderDataset(out)
    }


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_two_of_three_annotators_agree(source, tmp_path, capsys):
    before = content(source)
    run(source, tmp_path / "out")
    assert masks(tmp_path / "out") == TWO_AGREE
    assert content(source) == before
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.options["consensus"], manifest.counts["blank_masks"]) == (2, 1)
    assert manifest.samples["2401957951"].blank
    assert manifest.samples["9992787425"].group == "9992787425"
    assert manifest.samples["9992787425"].categories == ()
    printed = capsys.readouterr().out
    assert "Flickr-SoundNet: 4 samples in 4 groups, 0 categories, 1 blank masks" in printed
    assert "counts: 4 samples, published 250" in printed
    assert "at least 2 of the annotators' boxes" in printed
    assert "IoU, J and F against it reward boxes" in printed


def test_any_annotator(source, tmp_path):
    run(source, tmp_path / "out", "--consensus", 1)
    assert masks(tmp_path / "out") == ANY
    manifest = read_manifest(tmp_path / "out")
    assert "Foreground is what any annotator's box covers." in manifest.notes
    assert manifest.counts["blank_masks"] == 0
    with pytest.raises(UserError, match="consensus 1, .*; choose another --out"):
        run(source, tmp_path / "out", "--consensus", 2)


def test_boxes_of_one_annotator_count_one_by_one(tmp_path):
    """As in the published evaluators, which count boxes, not annotators."""
    path = tmp_path / "1.xml"
    box = "<bbox><id>0</id><a>0</a><b>64</b><c>128</c><d>256</d></bbox>"
    path.write_text(f"<annotation><annotator>{box}{box}</annotator></annotation>")
    assert flickr_soundnet.read_boxes(path) == ((0.0, 0.25, 0.5, 1.0),) * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><bbox>", "cannot read the annotation .*: no element found"),
        ("", "cannot read the annotation .*: no element found"),
        ("<annotation><annotator/></annotation>", "expected boxes in .*, found none"),
        ("<a><w><bbox><id/><x>1</x></bbox></w></a>", r"expected a box of four numbers .*, found \[1.0\]"),
        ("<a><w><bbox><id/><x>1</x><x>x</x><x>3</x><x/></bbox></w></a>", r"found \[1.0, None, 3.0, None\]"),
        ("<a><w><bbox><id/><x>1</x><x>nan</x><x>3</x><x>4</x></bbox></w></a>", "expected a box of four numbers"),
    ],
)
def test_malformed_annotation_is_left_out_by_name(source, tmp_path, text, reason):
    (source / "Annotations/9992787425.xml").write_text(text)
    with pytest.raises(UserError, match=f"found 1 that cannot be read, which are left out .9992787425: .*{reason}"):
        run(source, tmp_path / "out")
    assert sorted(read_manifest(tmp_path / "out").samples) == ["10000130166", "2401957951", "3908875350"]


def test_missing_and_unreadable_files_are_left_out_by_name(source, tmp_path):
    (source / "frames/10000130166.jpg").unlink()
    (source / "audio/10000130166.wav").unlink()
    (source / "audio/2401957951.wav").unlink()
    (source / "frames/9992787425.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="expected to read all 4 samples, found 3 that cannot be read"):
        run(source, tmp_path / "out")
    left_out = read_manifest(tmp_path / "out").left_out
    assert left_out["10000130166"] == "expected an annotation, a frame and a sound, found no frame and no sound"
    assert left_out["2401957951"] == "expected an annotation, a frame and a sound, found no sound"
    assert "it is no image Pillow knows" in left_out["9992787425"]
    assert FolderDataset(tmp_path / "out").ids == ["3908875350"]


def test_list_says_which_samples_are_the_test(source, tmp_path):
    names = tmp_path / "test_list.txt"
    names.write_text("9992787425.png\n10000130166,202\n\n")
    run(source, tmp_path / "out", "--list", names)
    manifest = read_manifest(tmp_path / "out")
    assert sorted(manifest.samples) == ["10000130166", "9992787425"]
    assert manifest.options["list"] == "test_list.txt"
    names.write_text("9992787425.png\n11111111111.png\n")
    with pytest.raises(UserError, match="11111111111: expected .*, found no annotation and no frame and no sound"):
        run(source, tmp_path / "other", "--list", names)
    names.write_text("\n")
    with pytest.raises(UserError, match="expected one sample per line in"):
        run(source, tmp_path / "other", "--list", names)
    with pytest.raises(UserError, match="cannot read the list of samples .*: Is a directory"):
        run(source, tmp_path / "other", "--list", tmp_path)


def test_all_5000_annotations_want_a_list(source, tmp_path):
    for number in range(247):
        (source / f"Annotations/{number}.xml").write_text(xml(BOXES["9992787425"]))
    with pytest.raises(UserError, match="expected annotations of the 250 test samples in .*, found 251; .* --list"):
        run(source, tmp_path / "out")


def test_frames_and_sounds_below_data(source, tmp_path):
    (source / "Data").mkdir()
    (source / "frames").rename(source / "Data/frames")
    (source / "audio").rename(source / "Data/audio")
    run(source, tmp_path / "out")
    assert masks(tmp_path / "out") == TWO_AGREE


def test_goes_on_where_it_was_stopped(source, tmp_path, monkeypatch):
    run(source, tmp_path / "whole")

    def stop(items, manifest, out, **options):
        run_import(items[:2], manifest, out, **options)
        (out / "manifest.json").rename(out / UNFINISHED)
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "run_import", stop)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out")
    monkeypatch.undo()
    run(source, tmp_path / "out")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_wrong_folders_end_in_one_sentence(source, tmp_path, capsys):
    arguments = ["--source", str(source), "--out", str(tmp_path / "out"), "--annotations"]
    assert run_script(lambda: flickr_soundnet.main([*arguments, str(source / "nowhere")])) == 2
    assert "error: expected a folder of ID.xml at" in capsys.readouterr().err
    assert run_script(lambda: flickr_soundnet.main([*arguments, str(source / "frames")])) == 2
    assert "error: expected annotations like ID.xml in" in capsys.readouterr().err
    (source / "other").mkdir()
    with pytest.raises(UserError, match=r"found no image in .*other and .* \(10000130166: expected .* no frame\)"):
        run(source, tmp_path / "out", "--images", "other")
    assert not (tmp_path / "out").exists()


def test_evaluation_reads_the_folder(source, fake_models, tmp_path):
    run(source, tmp_path / "out")
    options = ["--draws", "50", "--methods", "cross_modal", "--limit", "4"]
    results = evaluation.main(
        [*options, "--test_data_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "results")]
    )
    assert (results.data["samples"], results.data["gt_empty"]) == (4, 1)
    assert len((tmp_path / "results/per_sample.csv").read_text().splitlines()) == 1 + 4 * 5  # cross_modal, baselines
