"""Pictures have one size however they are looked at, and a broken one says why."""

import pytest
from PIL import Image

from datasets.check.pictures import image_content, mask_content, picture_header
from tests.datasets.check.check_folders import left_half, picture

LOOKS = (picture_header, image_content, mask_content)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(("orientation", "size"), [(1, (48, 64)), (3, (48, 64)), (6, (64, 48)), (8, (64, 48))])
def test_sizes_are_upright(tmp_path, suffix, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(0).save(tmp_path / f"a{suffix}", exif=exif)
    for look in LOOKS:
        facts = look(tmp_path / f"a{suffix}")
        assert (facts.size, facts.orientation, facts.problem) == (size, orientation, "")


def test_only_masks_have_values_and_only_contents_a_digest(tmp_path):
    Image.fromarray(left_half()).save(tmp_path / "a.png")
    header, image, mask = (look(tmp_path / "a.png") for look in LOOKS)
    assert (header.values, image.values, mask.values.share) == (None, None, 0.5)
    assert (header.digest, len(image.digest), mask.digest) == ("", 64, image.digest)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-12], "truncated PNG file"),  # all pixels are there
        (lambda content: content[: len(content) // 2], "Truncated File Read"),
        (lambda content: b"", "it is empty (0 bytes)"),
        (lambda content: b"text", "it is no image Pillow knows"),
    ],
)
def test_damaged_files_say_what_is_wrong_and_keep_their_digest(tmp_path, damage, reason):
    picture(0).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(damage((tmp_path / "a.png").read_bytes()))
    facts = image_content(tmp_path / "a.png")
    assert reason in facts.problem
    assert (facts.size, len(facts.digest)) == (None, 64)
