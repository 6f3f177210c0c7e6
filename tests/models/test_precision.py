"""Every family at half precision: with weights kept in bfloat16, and computing in it as a GPU's autocast would."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from models.config import family_class
from models.cpu import right_convolutions
from models.network import Pretrained
from models.remembering import Memory
from utils.errors import NotFinite
from utils.types import Query

AST = "MIT/ast-finetuned-audioset-10-10-0.4593"
NETWORKS = [  # role, family, hub ids: one, or one a part
    ("audio_text", "clap", "laion/clap-htsat-unfused"),
    ("audio_text", "pe_av", "facebook/pe-av-small"),
    ("audio_text", "auto", "laion/clap-htsat-unfused"),
    ("audio_tagger", "audio_classification", AST),
    ("audio_captioner", "whisper", "MU-NLPC/whisper-tiny-audio-captioning"),
    ("audio_captioner", "audio_chat", "Qwen/Qwen2-Audio-7B-Instruct"),
    ("audio_captioner", "audio_chat", "nvidia/audio-flamingo-3-hf"),
    ("image_captioner", "blip", "Salesforce/blip-image-captioning-base"),
    ("image_captioner", "florence2", "florence-community/Florence-2-base"),
    ("image_captioner", "image_to_text", "Salesforce/blip2-opt-2.7b"),
    ("image_captioner", "vision_chat", "Qwen/Qwen3-VL-4B-Instruct"),
    ("segmenter", "clipseg", "CIDAS/clipseg-rd64-refined"),
    ("segmenter", "grounded_sam", {"detector": "iSEE-Laboratory/llmdet_base", "masks": "facebook/sam2.1-hiera-tiny"}),
    ("segmenter", "grounded_sam", {"detector": "google/owlv2-base-patch16-ensemble", "masks": "facebook/sam-vit-base"}),
    ("segmenter", "sam_clip", {"masks": "facebook/sam-vit-base", "scorer": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"}),
    ("segmenter", "sam3", "facebook/sam3"),
]
SHORT = {"max_new_tokens": 3}
SETTINGS = {
    **dict.fromkeys(("whisper", "audio_chat", "blip", "florence2", "image_to_text", "vision_chat"), SHORT),
    "grounded_sam": {"box_threshold": 0.01},
    "sam_clip": {"points_per_side": 2, "stability_score_thresh": 0.0, "pred_iou_thresh": 0.0},
    "sam3": {"score_threshold": 0.01, "min_presence": 0.01},
}


def load(tiny, role, family, hub_ids, device="cpu", **keys):
    def entry(hub_id):
        return {"weights": tiny(hub_id), **keys}

    parts = {part: entry(one) for part, one in hub_ids.items()} if isinstance(hub_ids, dict) else entry(hub_ids)
    return family_class(role, family).from_pretrained(**parts, **SETTINGS.get(family, {}), device=device)


def answer(role, model):
    """What the model says of one input; numbers as one array, words as they are."""
    rng = np.random.default_rng(0)
    sound = [rng.uniform(-0.5, 0.5, 20000).astype(np.float32)], [16000]
    image = rng.integers(0, 256, (48, 80, 3), dtype=np.uint8)
    if role == "audio_text":
        return np.concatenate([model.encode_audio(*sound), model.encode_text(["a dog"])])
    if role == "audio_tagger":
        return np.array([probability for _, probability in model.tag(*sound)[0]])
    if role == "audio_captioner":
        return model.caption(*sound)
    if role == "image_captioner":
        return model.caption([image])
    return model.segment([image], [(Query("dog"), Query("a guitar"))])[0]


def check(role, answered):
    if isinstance(answered, list):
        assert all(isinstance(caption, str) for caption in answered)
    else:
        assert answered.dtype in (np.float32, np.float64) and np.isfinite(answered).all() and answered.any()


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: "-".join(map(str, network)))
def kept_in_bfloat16(request, tiny):
    """Role, family, hub ids, and the model."""
    return *request.param, load(tiny, *request.param, dtype="bfloat16")


def test_weights_kept_in_bfloat16(tiny, kept_in_bfloat16):
    role, family, hub_ids, model = kept_in_bfloat16
    networks = [part.network for part in model.networks.values()] if hasattr(model, "networks") else [model.network]
    kept = {parameter.dtype for network in networks for parameter in network.parameters()}
    assert torch.bfloat16 in kept
    answered = answer(role, model)
    check(role, answered)
    if role == "audio_text":
        exact = answer(role, load(tiny, role, family, hub_ids))
        assert ((answered * exact).sum(1) > 0.98).all()


def test_numbers_that_are_not_finite_are_no_answer(kept_in_bfloat16):
    """As weights give them that are damaged, or that half precision is too narrow for: each network in turn."""
    role, *_, model = kept_in_bfloat16
    parts = getattr(model, "networks", {"": model})
    for part in parts.values():
        kept = {name: tensor.clone() for name, tensor in part.network.state_dict().items()}
        for parameter in part.network.parameters():
            parameter.fill_(float("nan"))
        with pytest.raises(NotFinite, match=r"expected finite numbers from .*\(bfloat16( on cpu)?\)"):
            answer(role, Memory().wrap(model, {}))
        part.network.load_state_dict(kept)
    check(role, answer(role, Memory().wrap(model, {})))


@pytest.mark.parametrize(("role", "family", "hub_ids"), NETWORKS)
def test_computing_in_cpu(tiny, role, family, hub_ids, monkeypatch):
    """CUDA's autocast cannot run here; the processor's mixes the same two types, bfloat16 as on most cards."""

    @contextmanager
    def autocast(self):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), right_convolutions(torch.bfloat16):
            yield

    model = load(tiny, role, family, hub_ids)
    exact = answer(role, model) if role == "audio_text" else None
    monkeypatch.setattr(Pretrained, "inference", autocast)
    answered = answer(role, model)
    check(role, answered)
    if role == "audio_text":
        assert ((answered * exact).sum(1) > 0.98).all()
