import numpy as np
import pytest
import torch

from models.image_captioner.image_to_text import BlipCaptioner
from models.roles import ImageCaptioner
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError


@pytest.fixture(scope="module")
def captioner(loaded):
    return loaded["image_captioner"]


def test_one_caption_an_image_the_same_alone_in_a_batch_and_twice(captioner, images):
    captions = captioner.caption(images)
    assert isinstance(captioner, ImageCaptioner) and len(captions) == len(images)
    assert all(isinstance(caption, str) and caption == caption.strip() for caption in captions)
    assert len(set(captions)) > 1
    assert captioner.caption(images) == captions
    assert [captioner.caption([image])[0] for image in images] == captions
    assert captioner.caption([]) == []


def test_images_are_prepared_as_the_processor_does(captioner, images):
    from PIL import Image
    from transformers import BlipProcessor

    processor = BlipProcessor.from_pretrained(captioner.provenance["id"])
    expected = processor(images=[Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    assert expected.shape == (5, 3, 32, 32)
    np.testing.assert_allclose(captioner.pixel_values(images), expected, atol=1e-5)


def test_the_library_itself_gives_the_same(captioner, images):
    from transformers import BlipForConditionalGeneration, BlipProcessor

    network = BlipForConditionalGeneration.from_pretrained(captioner.provenance["id"], dtype=torch.float32).eval()
    processor = BlipProcessor.from_pretrained(captioner.provenance["id"])
    # The paper's settings, in the library's words: max_length counts the start token.
    tokens = network.generate(
        **processor(images=images[:3], return_tensors="pt"), max_length=17, repetition_penalty=2.5, do_sample=False
    )
    captions = processor.batch_decode(tokens, skip_special_tokens=True)
    assert captioner.caption(images[:3]) == [caption.strip() for caption in captions]


def test_length_and_penalty_can_be_set(folders, images):
    folder = str(folders["image_captioner"])
    short = BlipCaptioner.from_pretrained(folder, max_new_tokens=3, repetition_penalty=1)
    tokenizer = short.processor.tokenizer
    assert all(len(tokenizer.tokenize(caption)) <= 3 for caption in short.caption(images))
    free = BlipCaptioner.from_pretrained(folder, repetition_penalty=1.0).caption(images)
    assert free != BlipCaptioner.from_pretrained(folder, repetition_penalty=5.0).caption(images)


def test_nothing_is_printed(captioner, images, capfd):
    captioner.caption(images)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def published(tiny):
    return tiny("Salesforce/blip-image-captioning-base")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_answers(published, images, dtype):
    captioner = BlipCaptioner.from_pretrained(published, dtype=dtype, max_new_tokens=4)
    assert captioner.dtype == getattr(torch, dtype)
    assert_repeatable(captioner, images)


def test_a_missing_tensor_is_refused(published, tmp_path):
    broken = without_a_tensor(published, tmp_path / "broken", "patch_embedding.weight")
    with pytest.raises(UserError, match="1 of its tensors are missing.*patch_embedding.weight"):
        BlipCaptioner.from_pretrained(broken)
