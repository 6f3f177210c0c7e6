from functools import cache

import numpy as np
import pytest
import torch

from models.image_captioner.image_to_text import TASKS, Florence2Captioner
from models.roles import ImageCaptioner
from tests.models.captioners import assert_repeatable, without_a_tensor
from utils.errors import UserError
from utils.language.phrases import bare_nouns


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny("florence-community/Florence-2-base")


@pytest.fixture(scope="module")
def captioner(folder):
    return load(folder)


@cache
def load(folder, **settings):
    """One of these settings, which serves every test that asks for them."""
    return Florence2Captioner.from_pretrained(folder, **({"max_new_tokens": 8} | settings))


@cache
def library(folder):
    from transformers import Florence2ForConditionalGeneration, Florence2Processor

    network = Florence2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return network, Florence2Processor.from_pretrained(folder)


def answered(folder, image, task, **generation):
    """The library called directly, on one image."""
    from PIL import Image

    network, processor = library(folder)
    inputs = processor(images=Image.fromarray(image), text=task, return_tensors="pt")
    tokens = network.generate(**inputs, do_sample=False, **generation)
    text = processor.batch_decode(tokens, skip_special_tokens=False)[0]
    answer = processor.post_process_generation(text, task=task, image_size=(64, 64))[task]
    return " ".join(answer.split()), inputs


def test_one_caption_an_image_whatever_stands_beside_it(captioner, images):
    assert isinstance(captioner, ImageCaptioner)
    assert_repeatable(captioner, images)


@pytest.mark.parametrize("task", ["<CAPTION>", "<DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"])
def test_the_library_itself_gives_the_same(folder, images, task):
    captioner = load(folder, task=task)
    expected = [answered(folder, image, task, num_beams=3, max_new_tokens=8)[0] for image in images[:3]]
    assert captioner.caption(images[:3]) == expected and all(expected)


def test_images_and_task_are_prepared_as_the_processor_does(captioner, folder, images, monkeypatch):
    seen = {}
    generate = captioner.network.generate
    monkeypatch.setattr(captioner.network, "generate", lambda **given: seen.update(given) or generate(**given))
    captioner.caption(images)
    for i, image in enumerate(images):
        _, expected = answered(folder, image, "<DETAILED_CAPTION>", max_new_tokens=1)
        assert seen["input_ids"][i].tolist() == expected["input_ids"][0].tolist()
        np.testing.assert_allclose(seen["pixel_values"][i], expected["pixel_values"][0], atol=1e-5)


def test_length_and_beams_can_be_set(folder, images):
    expected, _ = answered(folder, images[0], "<DETAILED_CAPTION>", num_beams=1, max_new_tokens=4)
    assert load(folder, num_beams=1, max_new_tokens=4).caption(images[:1]) == [expected]
    assert load(folder, num_beams=1).caption(images) != load(folder).caption(images)


def test_captions_end_where_they_end(captioner, monkeypatch):
    """In a batch the shorter one is padded, and the processor takes padding for a word."""
    tokenizer = captioner.processor.tokenizer
    rows = [tokenizer(f"</s><s>{text}</s>", add_special_tokens=False)["input_ids"] for text in ("a dog barks", "a cat")]
    padded = tokenizer.pad({"input_ids": rows}, return_tensors="pt")["input_ids"]
    monkeypatch.setattr(captioner.network, "generate", lambda **inputs: padded)
    assert captioner.caption([np.zeros((4, 4, 3), np.uint8)] * 2) == ["a dog barks", "a cat"]


@pytest.mark.parametrize("task", ["<OD>", "<DENSE_REGION_CAPTION>"])
def test_what_is_found_becomes_a_list_each_once(folder, monkeypatch, task):
    captioner = load(folder, task=task)
    box = "<loc_1><loc_2><loc_33><loc_44>"
    said = f"</s><s>dog{box}acoustic guitar{box}dog<loc_50><loc_51><loc_60><loc_70></s>"
    tokens = captioner.processor.tokenizer(said, add_special_tokens=False, return_tensors="pt")["input_ids"]
    monkeypatch.setattr(captioner.network, "generate", lambda **inputs: tokens)
    caption = captioner.caption([np.zeros((4, 4, 3), np.uint8)])[0]
    assert caption == "a dog, an acoustic guitar" and bare_nouns(caption) == ["dog", "guitar"]


def test_nothing_found_is_an_empty_caption(folder, monkeypatch):
    captioner = load(folder, task="<OD>")
    monkeypatch.setattr(captioner.network, "generate", lambda **inputs: torch.tensor([[2, 0, 2]]))
    assert captioner.caption([np.zeros((4, 4, 3), np.uint8)]) == [""]


def test_each_task_is_asked_in_its_own_words(folder, images, monkeypatch):
    tokenizer = load(folder).processor.tokenizer
    asked = {task: tokenizer.decode(answered_inputs(folder, images[0], task, monkeypatch)) for task in TASKS}
    assert len(set(asked.values())) == len(TASKS)


def answered_inputs(folder, image, task, monkeypatch):
    shared, seen = load(folder), {}
    captioner = Florence2Captioner(shared.network, shared.processor, shared.provenance, task=task)
    generate = lambda **given: seen.update(given) or torch.tensor([[2, 0, 2]])  # noqa: E731
    monkeypatch.setattr(shared.network, "generate", generate)
    captioner.caption([image])
    return seen["input_ids"][0]


def test_an_unknown_task_is_refused(folder):
    with pytest.raises(UserError, match="expected Florence-2's task to be one of <CAPTION>.*found '<OCR>'"):
        load(folder, task="<OCR>")


def test_half_precision_answers(folder, images):
    captioner = load(folder, dtype="bfloat16")
    assert captioner.dtype == torch.bfloat16
    assert_repeatable(captioner, images)


def test_a_missing_tensor_is_refused(folder, tmp_path):
    name = "model.vision_tower.convs.0.conv.weight"
    with pytest.raises(UserError, match=f"1 of its tensors are missing.*{name}"):
        load(without_a_tensor(folder, tmp_path / "broken", name))


def test_nothing_is_printed(captioner, images, capfd):
    captioner.caption(images[:2])
    assert capfd.readouterr() == ("", "")
