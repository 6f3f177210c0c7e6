from functools import cache

import numpy as np
import pytest
import torch

from models.image_captioner.image_to_text import BlipCaptioner, ImageToText
from models.roles import ImageCaptioner
from tests.checkpoints.vocabularies import word_piece
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, initializer_range=0.3)


def save_git(folder):
    """Saves a GIT that sees 32 x 32 pixels: an architecture that has no file in tests/checkpoints."""
    from transformers import BertTokenizer, CLIPImageProcessor, GitConfig, GitForCausalLM, GitProcessor

    vocab = word_piece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], 400)
    tokenizer = BertTokenizer(vocab=vocab, model_max_length=64, model_input_names=["input_ids", "attention_mask"])
    config = GitConfig(
        vision_config=dict(image_size=32, patch_size=8, **SMALL), vocab_size=len(vocab), max_position_embeddings=64,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, **SMALL,
    )  # fmt: skip
    size = {"height": 32, "width": 32}
    torch.manual_seed(0)
    GitForCausalLM(config).save_pretrained(folder)
    GitProcessor(CLIPImageProcessor(size=size, crop_size=size, do_center_crop=False), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tiny):
    """Architecture -> folder of a tiny random checkpoint."""
    return {
        "blip2": tiny("Salesforce/blip2-opt-2.7b"),
        "git": tiny.saved(save_git),
        "blip": tiny("Salesforce/blip-image-captioning-base"),
    }


@pytest.fixture(scope="module", params=["blip2", "git", "blip"])
def folder(request, folders):
    return folders[request.param]


@cache
def load(folder, **settings):
    """One of these settings, which serves every test that asks for them."""
    return ImageToText.from_pretrained(folder, **({"max_new_tokens": 6} | settings))


@cache
def library(folder):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return network, AutoProcessor.from_pretrained(folder)


def pictures(images):
    from PIL import Image

    return [Image.fromarray(image) for image in images]


def test_one_caption_an_image_whatever_stands_beside_it(folder, images):
    captioner = load(folder)
    assert isinstance(captioner, ImageCaptioner)
    assert_repeatable(captioner, images)


def test_the_library_itself_gives_the_same(folder, images):
    network, processor = library(folder)
    inputs = processor(images=pictures(images), return_tensors="pt")
    np.testing.assert_allclose(load(folder).inputs(images)["pixel_values"], inputs["pixel_values"], atol=1e-5)
    tokens = network.generate(**inputs, do_sample=False, max_new_tokens=6)
    captions = [" ".join(text.split()) for text in processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)]
    assert load(folder).caption(images) == captions and any(captions)


def test_a_prompt_is_continued_and_not_repeated(folder, images):
    captioner = load(folder, prompt="A photo of")
    assert_repeatable(captioner, images)
    captions = captioner.caption(images)
    assert captions != load(folder).caption(images)
    assert not any(caption.lower().startswith("a photo of") for caption in captions)


@pytest.mark.parametrize("kind", ["blip2", "blip"])
def test_the_library_itself_continues_the_prompt_so(folders, images, kind):
    network, processor = library(folders[kind])
    inputs = processor(images=pictures(images[:1]), text=["a photo of"], return_tensors="pt")
    tokens = network.generate(**inputs, do_sample=False, max_new_tokens=6)[0]
    words = " ".join(processor.tokenizer.decode(tokens, skip_special_tokens=True).split())
    caption = load(folders[kind], prompt="a photo of").caption(images[:1])[0]
    assert words == f"a photo of {caption}" and caption


def test_git_continues_the_prompt_that_has_not_ended(folders, images):
    """As its documentation has it: [CLS] and the words, without the [SEP] its tokenizer adds."""
    network, processor = library(folders["git"])
    words = processor.tokenizer("a photo of", add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[processor.tokenizer.cls_token_id, *words]])
    pixel_values = processor(images=pictures(images[:1]), return_tensors="pt")["pixel_values"]
    tokens = network.generate(pixel_values=pixel_values, input_ids=ids, do_sample=False, max_new_tokens=6)
    expected = processor.tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True).strip()
    captioner = load(folders["git"], prompt="a photo of")
    assert captioner.inputs(images[:1])["input_ids"].tolist() == ids.tolist()
    assert captioner.caption(images[:1]) == [expected] != [""]


def test_blip_gives_what_its_own_family_gives(folders, images):
    blip = BlipCaptioner.from_pretrained(folders["blip"])
    assert load(folders["blip"], max_new_tokens=16, repetition_penalty=2.5).caption(images) == blip.caption(images)


def test_length_beams_and_penalty_can_be_set(folder, images):
    network, processor = library(folder)
    inputs = processor(images=pictures(images), return_tensors="pt")
    settings = dict(max_new_tokens=9, num_beams=3, repetition_penalty=1.5)
    tokens = network.generate(**inputs, do_sample=False, **settings)
    captions = [" ".join(text.split()) for text in processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)]
    assert load(folder, **settings).caption(images) == captions
    assert captions != load(folder).caption(images)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_answers(folder, images, dtype):
    captioner = load(folder, dtype=dtype)
    weights = {parameter.dtype for parameter in captioner.network.parameters()}
    assert getattr(torch, dtype) in weights
    assert_repeatable(captioner, images)


def test_a_missing_tensor_is_refused(folders, tmp_path):
    broken = without_a_tensor(folders["blip2"], tmp_path / "broken", "language_projection.weight")
    with pytest.raises(UserError, match="1 of its tensors are missing.*language_projection.weight"):
        load(broken)


def test_nothing_is_printed(folder, images, capfd):
    load.__wrapped__(folder, prompt="a photo of").caption(images[:2])
    assert capfd.readouterr() == ("", "")
