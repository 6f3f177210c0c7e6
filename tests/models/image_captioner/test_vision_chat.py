from functools import cache

import numpy as np
import pytest
import torch

from models.image_captioner.vision_chat import PROMPT, VisionChat, as_caption, as_one_line, bounded, listed
from models.roles import ImageCaptioner
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError
from utils.language.phrases import bare_nouns

THREE, TWO = "Qwen/Qwen3-VL-4B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"
# What the published chat templates make of an image and a question; "{}" is the question.
QUESTION = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
SYSTEM = {THREE: "", TWO: "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"}


@pytest.fixture(scope="module", params=[THREE, TWO], ids=["qwen3", "qwen2.5"])
def hub_id(request):
    return request.param


@pytest.fixture(scope="module")
def folder(hub_id, tiny):
    return tiny(hub_id)


@pytest.fixture(scope="module")
def captioner(folder):
    return load(folder)


@cache
def load(folder, **settings):
    """One of these settings, which serves every test that asks for them."""
    return VisionChat.from_pretrained(folder, **({"max_new_tokens": 6} | settings))


@cache
def library(folder, hub_id):
    import transformers

    name = "Qwen3VL" if hub_id == THREE else "Qwen2_5_VL"
    network_class = getattr(transformers, f"{name}ForConditionalGeneration")
    network = network_class.from_pretrained(folder, dtype=torch.float32).eval()
    return network, getattr(transformers, f"{name}Processor").from_pretrained(folder)


def answered(folder, hub_id, image, prompt, steps):
    """The library called directly: its processor on the text of the template, its greedy generation, its decoding."""
    from PIL import Image

    network, processor = library(folder, hub_id)
    text = SYSTEM[hub_id] + QUESTION.format(prompt)
    inputs = processor(text=[text], images=[Image.fromarray(image)], return_tensors="pt")
    how = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": steps}
    tokens = network.generate(**inputs, top_k=None, top_p=None, temperature=None, **how)
    return processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True), inputs


def asked(captioner, image):
    return captioner.inputs({"type": "image", "image": bounded(image, captioner.max_pixels)})


def test_one_caption_an_image_whatever_stands_beside_it(captioner, images):
    assert isinstance(captioner, ImageCaptioner)
    assert_repeatable(captioner, images)


def test_the_library_itself_gives_the_same(captioner, folder, hub_id, images):
    for image in images[:3]:
        expected, _ = answered(folder, hub_id, image, PROMPT, 6)
        assert captioner.caption([image]) == [as_one_line(expected)]


def test_image_and_question_are_prepared_as_the_processor_does(captioner, folder, hub_id, images):
    for image in images:
        _, expected = answered(folder, hub_id, image, PROMPT, 1)
        inputs = asked(captioner, image)
        assert inputs.keys() == expected.keys()
        assert inputs["input_ids"].tolist() == expected["input_ids"].tolist()
        assert inputs["image_grid_thw"].tolist() == expected["image_grid_thw"].tolist()
        np.testing.assert_allclose(inputs["pixel_values"], expected["pixel_values"], atol=1e-5)


def test_the_prompt_is_what_it_is_asked(folder, hub_id, images):
    other = load(folder, prompt="Who is there?")
    text = other.processor.tokenizer.decode(asked(other, images[0])["input_ids"][0])
    assert text.endswith("Who is there?<|im_end|>\n<|im_start|>assistant\n")
    expected, _ = answered(folder, hub_id, images[0], "Who is there?", 6)
    assert other.caption(images[:1]) == [as_one_line(expected)]
    assert other.caption(images) != load(folder).caption(images)


def test_the_length_can_be_set(folder, hub_id, images):
    expected, _ = answered(folder, hub_id, images[0], PROMPT, 2)
    assert load(folder, max_new_tokens=2).caption(images[:1]) == [as_one_line(expected)]


def test_large_images_are_made_smaller(folder):
    image = np.zeros((300, 400, 3), np.uint8)
    free, tight = (asked(load(folder, **settings), image)["image_grid_thw"] for settings in ({}, {"max_pixels": 3000}))
    assert tight.prod() < free.prod()


def test_any_shape_is_answered(captioner):
    shapes = [(1, 1), (3, 7), (1, 450), (901, 2), (2, 2000)]
    assert len(captioner.caption([np.full((*shape, 3), 90, np.uint8) for shape in shapes])) == 5


@pytest.mark.parametrize(
    ("shape", "max_pixels", "size"),
    [
        ((480, 640), 1024 * 1024, (640, 480)),  # as it is
        ((1000, 2000), 500_000, (1000, 500)),
        ((3, 7), 1, (1, 1)),
        ((1, 450), 1000, (450, 3)),  # thicker: Qwen-VL refuses an aspect above 200
        ((901, 2), 10_000, (5, 901)),
        ((100, 30_000), 1_000_000, (17320, 87)),
    ],
)
def test_images_are_bounded_in_pixels_and_aspect(shape, max_pixels, size):
    assert bounded(np.zeros((*shape, 3), np.uint8), max_pixels).size == size


def test_a_small_image_is_not_touched(images):
    np.testing.assert_array_equal(np.asarray(bounded(images[0], 10_000)), images[0])


def test_half_precision_answers(folder, images):
    captioner = load(folder, dtype="bfloat16")
    assert captioner.dtype == asked(captioner, images[0])["pixel_values"].dtype == torch.bfloat16
    assert_repeatable(captioner, images)


def test_a_missing_tensor_is_refused(folder, tmp_path):
    broken = without_a_tensor(folder, tmp_path / "broken", "patch_embed.proj.weight")
    with pytest.raises(UserError, match="1 of its tensors are missing.*patch_embed"):
        load(broken)


def test_nothing_is_printed(folder, images, capfd):
    load.__wrapped__(folder).caption(images[:2])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("answer", "caption"),
    [
        ("dog, acoustic guitar, dog", "a dog, an acoustic guitar"),
        ("1. Dog\n2. Man", "a dog, a man"),
        ("none", ""),
        ("A man is\nplaying a guitar on the street.", "A man is playing a guitar on the street."),
    ],
)
def test_a_list_becomes_a_caption_and_a_sentence_stays_one(answer, caption):
    assert as_one_line(answer) == caption


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
