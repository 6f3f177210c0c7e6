"""The bundled configs: they load, they name only what is known, and their first lines tell what a user has to know."""

from __future__ import annotations

import re
import shlex

import pytest

import methods
from models.checkpoints import catalogue
from models.config import ROLES, ROOT, config_names, load_config, sources
from tests.checkpoints.published import available
from utils.cli import DEFAULT_CONFIG as DEFAULT
from utils.errors import UserError

RESEARCH = ("base", "large", "paper")


def header(name: str) -> str:
    """The comment that opens the file, as one line."""
    lines = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in lines[: next(i for i, x in enumerate(lines) if x[:1] != "#")]]
    return " ".join(comment)


def test_these_are_bundled():
    assert config_names() == sorted([*RESEARCH, DEFAULT])


@pytest.mark.parametrize("name", config_names())
def test_every_role_is_played_and_every_method_can_be_made(name, fakes):
    config = load_config(name)
    assert set(config.roles) == set(ROLES) and config.summary
    for method in methods.available():
        methods.create(method, fakes.make_models(), config.methods.get(method))


@pytest.mark.parametrize("name", config_names())
def test_a_config_opens_with_its_command_its_weights_memory_and_time(name):
    text = header(name)
    assert text.startswith("python ")
    assert f"python inference_demo.py --config {name}" in text and f"python eval.py --config {name}" in text
    for word in ("Good for:", "Weights:", "Expected"):
        assert word in text
    assert not re.findall(r"@\w+@", text)


@pytest.mark.parametrize("name", RESEARCH)
def test_every_network_is_in_the_catalogue_under_the_same_licence(name):
    for source in sources(load_config(name)):
        entry = catalogue().get(source.weights)
        assert entry is not None and entry.license == source.license, source.weights
        assert source.weights in header(name)
        assert not source.trust_remote_code


@pytest.mark.parametrize("name", RESEARCH)
def test_the_published_size_of_every_network_can_be_measured_without_a_hub(name):
    assert {source.weights for source in sources(load_config(name))} <= set(available())


def test_base_needs_nobodys_permission():
    assert not [source.weights for source in sources(load_config("base")) if catalogue()[source.weights].gated]


def test_paper_has_the_settings_of_the_paper():
    config = load_config("paper", methods=methods.available())
    roles, of_methods = config.roles, config.methods
    captioner = {"family": "blip", "weights": "Salesforce/blip-image-captioning-base"}
    assert captioner.items() <= roles["image_captioner"].items()  # 17 tokens and the penalty 2.5 are the defaults
    assert roles["segmenter"]["image_size"] == 416
    assert of_methods["classify"]["things"] == "labels"
    assert of_methods["classify"]["min_probability"] == 0
    assert of_methods["cross_modal"] == {"audio_prompt": "{}", "min_similarity": -1}  # bare nouns; never nothing
    assert of_methods["text_inversion"]["min_similarity"] == -1
    assert roles["segmenter"]["threshold"] == 0.3


@pytest.mark.parametrize("name", RESEARCH)
def test_published_networks_answer_with_nothing_only_where_that_was_decided(name):
    of_methods = load_config(name, methods=methods.available()).methods
    least = {of_methods[method]["min_similarity"] for method in ("cross_modal", "text_inversion")}
    assert least == {-1} or "measured" in header(name)


def test_the_things_the_paper_reports_of_cross_modal_stand_in_its_config():
    # What it reports of cross-modal verification: IS3, AVSBench-S4, VPO-SS; cIoU AUC mIoU Fscore J F.
    for row in ("65.4 59.6 59.1 65.2 54.2 60.7", "71.1 62.4 62.0 69.2 57.0 66.0", "54.6 49.3 48.5 52.7 46.0 50.1"):
        assert re.search(row.replace(" ", r"\s+"), header("paper")), row


def test_every_override_printed_beside_a_config_is_understood():
    pages = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "models/README.md"))
    printed = {name: header(name) for name in RESEARCH} | {DEFAULT: pages}
    printed = {name: re.sub(r"\\\n\s*", "", text) for name, text in printed.items()}  # lines that go on
    found = 0
    for name, text in printed.items():
        for words in re.findall(r"--set ((?:[a-z_]+\.[a-z_.]+=(?:'[^']+'|[^\s`]+) ?)+)", text):
            # The pages say in words which config they speak of: one at least must take it.
            names = (name,) if name in RESEARCH else config_names()
            assert any(_takes(one, shlex.split(words)) for one in names), words
            found += 1
    assert found >= 6


def _takes(name: str, overrides: list[str]) -> bool:
    try:
        load_config(name, overrides, methods.available())
    except UserError:
        return False
    return True
