"""Loads a network from a folder or a hub id, completely or not at all, and remembers where it came from.

Complete means: weights for every learned tensor, the right architecture, no code from the checkpoint unless a config
asks for it. Whatever is missing ends in one sentence; nothing is ever left at its random initial values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError

from models.config import DTYPES
from models.cpu import Float32Convolutions, needs_float32_convolutions, split_large
from models.remembering import Memory, Rememberable, said_of
from models.weights import AGAIN, ANOTHER, SETTINGS, TOKENIZER, Checkpoint, faults, local_path, refusal
from utils.errors import NotFinite, UserError, first_sentence

MAX_BATCH = 16  # images, windows or queries a forward pass
TEXTS_AT_ONCE = 32  # sentences a forward pass
WORDS = ("dog", "violin")  # that any tokenizer tells apart


class Pretrained(Rememberable):
    """A network with its processor; the classes of the roles derive from it.

    Attributes:
        family: name in the role's table.
        network_class, processor_class: names in transformers; a family of another library overrides `load` instead.
        encoders: names of its modules that treat the items of a batch each by itself, see `models.cpu`.
        hub_files: what it reads, where its checkpoints are of another kind than the library's.
        dtypes: what its weights may be kept in.
        remedy: what to do where a checkpoint cannot be loaded.
        network: in eval mode, without gradients of its own.
        processor: the checkpoint's own preprocessing and tokenizer.
        provenance: "family", "id" (folder or hub id), "revision", "sha256" (local weights), "config_sha256" (what lies
            beside them), "license", "dtype", "trust_remote_code"; None if unknown. And "convolutions": "float32" where
            the processor computes those of "dtype" wrongly, see `models.cpu`; "autocast": what float32 weights compute
            in on CUDA, bfloat16 where the card has it, whose range is float32's, else float16.
    """

    family: ClassVar[str]
    network_class: ClassVar[str]
    processor_class: ClassVar[str]
    encoders: ClassVar[tuple[str, ...]] = ()
    hub_files: ClassVar[tuple[str, ...]] = ()
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    remedy: ClassVar[str] = f"name the family these weights are of, or {ANOTHER}"

    def __init__(self, network: Any, processor: Any, provenance: dict[str, Any]) -> None:
        self.network, self.processor, self.provenance = network, processor, provenance

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        revision: str | None = None,
        license: str | None = None,
        dtype: str = "float32",
        trust_remote_code: bool = False,
        device: str = "cpu",
        **settings: Any,
    ) -> Pretrained:
        """Loads a checkpoint saved with `save_pretrained`.

        Args:
            weights: folder, absolute or relative to the current folder or to the repository root; or hub id.
            revision: commit, tag or branch of a hub id.
            license: of the weights, where neither the checkpoint's own config nor the catalogue of published ones says.
            dtype: one of `dtypes`: what the weights are kept in.
            trust_remote_code: whether code that comes with the checkpoint may run.
            device: where the network runs, for example "cuda".
            settings: keyword arguments of the class.

        Raises:
            UserError: anything is missing or does not fit.
        """
        if dtype not in cls.dtypes:
            raise UserError(f"expected dtype {' or '.join(cls.dtypes)} for {cls.family}, found {dtype}")
        further = cls.before_loading(str(weights), settings)
        checkpoint = find(str(weights), revision, trust_remote_code=trust_remote_code, files=cls.hub_files)
        with _one_sentence(cls, checkpoint, revision):
            network, processor = cls.load(checkpoint.path, getattr(torch, dtype), trust_remote_code, **further)
            sha256, config_sha256 = checkpoint.hashes(cls.hub_files)
            provenance = {
                "family": cls.family,
                "id": str(weights),
                "revision": checkpoint.revision,
                "sha256": sha256,
                "config_sha256": config_sha256,
                "license": license or _license_in(checkpoint.path) or checkpoint.license,
                "dtype": dtype,
                "trust_remote_code": trust_remote_code,
            }
            if needs_float32_convolutions(getattr(torch, dtype), device):
                provenance["convolutions"] = "float32"
            if torch.device(device).type == "cuda" and dtype == "float32":
                has_it = torch.cuda.is_bf16_supported(including_emulation=False)
                provenance["autocast"] = "bfloat16" if has_it else "float16"
            split_large(network, cls.encoders, device)
            model = cls(network.to(device).eval().requires_grad_(False), processor, provenance, **settings)
            check_words(model)
            return model

    @classmethod
    def before_loading(cls, weights: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Refuses what the family lacks (UserError) before anything is fetched; returns what `load` takes beside."""
        return {}

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, trust_remote_code: bool, **config_values: Any) -> tuple[Any, Any]:
        """Loads network and processor from what the folder holds, on the CPU; `config_values` is what its config lacks.

        Raises:
            Exception: the folder does not hold a complete checkpoint of this family; `from_pretrained` makes one
                sentence of it.
        """
        import transformers

        where = {"trust_remote_code": trust_remote_code, "local_files_only": True}
        with quiet(transformers):
            network_class = getattr(transformers, cls.network_class)
            config = transformers.AutoConfig.from_pretrained(folder, **where)
            wanted = getattr(getattr(network_class, "config_class", None), "model_type", config.model_type)
            if config.model_type != wanted:
                raise ValueError(f"expected a {wanted} checkpoint, found a {config.model_type} one")
            network, report = network_class.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **where, **config_values
            )
            check_complete(network, report)
            processor = getattr(transformers, cls.processor_class).from_pretrained(folder, **where)
        return network, processor

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Images, (H, W, 3) uint8 RGB each, as the checkpoint's own processor prepares them: (N, 3, h, w) float32."""
        # Copies, since torch takes neither flipped views nor read-only arrays. Without the channels named, an image of
        # height 3 would be taken for (3, W, C).
        how = {"input_data_format": "channels_last", "return_tensors": "pt"}
        prepare = getattr(self.processor, "image_processor", self.processor)
        return prepare(images=[np.array(image) for image in images], **how)["pixel_values"]

    @contextmanager
    def inference(self) -> Iterator[None]:
        """What every forward pass runs in; its results are to be turned back with `.float()`.

        No gradients; autocast and the dtype of convolutions are those of the provenance.
        """
        half = self.provenance.get("autocast")
        autocast = torch.autocast("cuda", getattr(torch, half)) if half else nullcontext()
        convolutions = Float32Convolutions() if self.provenance.get("convolutions") == "float32" else nullcontext()
        with torch.inference_mode(), autocast, convolutions:
            yield

    def finite(self, *values: torch.Tensor) -> None:
        """Refuses (NotFinite) what nothing later would show to be no number, as a threshold takes it for little."""
        if not all(value.isfinite().all() for value in values):
            raise NotFinite(said_of(self.provenance, str(self.device)))

    def finite_scores(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """A `logits_processor` that leaves the next token's scores, (B, V), as they are, or refuses them: `finite`."""
        self.finite(scores.clamp(min=0))  # -inf is what may not be said
        return scores


class Composite(Rememberable):
    """Several networks that play one role together; each part is named and loaded by itself.

    Attributes:
        family: name in the role's table.
        parts, networks: part's name in the config -> its class, and the loaded part.
        provenance: "family", "parts" (part -> its provenance).
    """

    family: ClassVar[str]
    parts: ClassVar[Mapping[str, type[Pretrained]]]

    def __init__(self, networks: Mapping[str, Pretrained], provenance: dict[str, Any]) -> None:
        self.networks, self.provenance = networks, provenance

    @classmethod
    def from_pretrained(cls, device: str = "cpu", **entry: Any) -> Composite:
        """Loads every part; `entry` is what a config says of the role, without "family". Raises: see `load_once`."""
        return load_once(cls, entry, {}, device)


def find(
    weights: str, revision: str | None = None, *, trust_remote_code: bool = False, files: Sequence[str] = ()
) -> Checkpoint:
    """Finds a checkpoint's files, fetching what a hub id lacks here; see `Pretrained.from_pretrained`.

    Raises:
        UserError: one of its files (exactly `files`, where they are given) is missing; which, why, and the way out.
    """
    path = local_path(weights)
    if path:
        found = faults(path, code=trust_remote_code, files=files)
        if found:
            raise refusal(weights, path, found)
        return Checkpoint(weights, path)
    from models.checkpoints import hub  # which what lies in a folder never enters

    return hub.find(weights, revision, trust_remote_code=trust_remote_code, files=files)


def load_once(
    model_class: type[Pretrained] | type[Composite],
    entry: Mapping[str, Any],
    loaded: dict[str, Any],
    device: str = "cpu",
    memory: Memory | None = None,
) -> Any:
    """Loads a network, or hands out the one that has been loaded from the same weights with the same settings.

    Args:
        model_class: a family; one with a class method `resolve` says by the entry which family it stands for.
        entry: what the config says of it, without "family".
        loaded: what has been loaded so far; gets what is new.
        device, memory: where it runs, and what it remembers its answers in.

    Raises:
        UserError: anything is missing or does not fit.
    """
    if hasattr(model_class, "resolve"):
        model_class = model_class.resolve(**entry)
    key = f"{model_class.__module__}.{model_class.__qualname__} {sorted(entry.items())}"
    if key in loaded:
        return loaded[key]
    if issubclass(model_class, Composite):
        networks, settings = {}, dict(entry)
        for name, part in model_class.parts.items():
            networks[name] = load_once(part, settings.pop(name), loaded, device, memory)
        parts = {name: network.provenance for name, network in networks.items()}
        model = model_class(networks, {"family": model_class.family, "parts": parts}, **settings)
    else:
        model = model_class.from_pretrained(**entry, device=device)
    loaded[key] = model if memory is None else memory.wrap(model, entry, device)
    return loaded[key]


def blocks_by_length(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """The numbers of items sorted by length, in blocks of `size` at most, so that little has to be padded."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    return [order[first : first + size] for first in range(0, len(order), size)]


def check_complete(network: torch.nn.Module, report: Mapping[str, Any]) -> None:
    """Refuses a network of which the checkpoint did not fill every learned tensor.

    Raises:
        ValueError: by the `report` of `from_pretrained(output_loading_info=True)`; how many, and the first one's name.
    """
    tensors = network.state_dict()
    # Integer buffers are tables the class computes (positions, relative indices), not something learned.
    missing = [name for name in report["missing_keys"] if name not in tensors or tensors[name].is_floating_point()]
    lacking = sorted(missing) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise ValueError(f"{len(lacking)} of its tensors are missing or of another shape, the first being {lacking[0]}")


def check_words(model: Pretrained) -> None:
    """Refuses (UserError) a tokenizer that reads two words alike, as the library makes them where no vocabulary is."""
    tokenizer = getattr(model, "tokenizer", getattr(model.processor, "tokenizer", None))
    if tokenizer is None:
        return
    read = [tokenizer([word]) for word in WORDS]
    ids = [np.ravel(tokens["input_ids"] if isinstance(tokens, Mapping) else tokens).tolist() for tokens in read]
    if {*ids[0]} == {*ids[1]}:  # whatever their number: what is unknown may be so letter by letter
        raise UserError(
            f"cannot load {model.provenance['id']} as {model.family}: expected a tokenizer that tells "
            f"{' from '.join(WORDS)}, found one that reads both alike; {AGAIN.format(TOKENIZER)}, or {ANOTHER}"
        )


def _license_in(folder: Path) -> str | None:
    """What a checkpoint's own config says."""
    path = folder / "config.json"
    return json.loads(path.read_text(encoding="utf-8")).get("license") if path.is_file() else None


@contextmanager
def _one_sentence(model_class: type[Pretrained], checkpoint: Checkpoint, revision: str | None) -> Iterator[None]:
    """Turns what goes wrong inside the library into a UserError: whose files, the reason, the way out."""
    try:
        yield
    except (UserError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a library may fail in any way on a file it did not expect
        if "trust_remote_code" in str(error):
            out = f"read its Python files, and if you trust them set `trust_remote_code: true` beside it, or {ANOTHER}"
        elif isinstance(error, ImportError):
            out = f"install the package it names, or {ANOTHER}"
        elif isinstance(error, SafetensorError) and checkpoint.revision:
            from models.checkpoints import command  # which what lies in a folder never enters

            # A snapshot only points to its files; they lie beside it, and would be taken again.
            again = command("fetch", checkpoint.weights, revision)
            out = f"delete {checkpoint.path.parents[1]} and run {again}, or {ANOTHER}"
        else:
            out = model_class.remedy
        lacks = (checkpoint.path / TOKENIZER).is_file() and not (checkpoint.path / SETTINGS).is_file()
        also = f" ({SETTINGS} is not there)" if lacks else ""
        said = f"cannot load {checkpoint.weights} as {model_class.family}: {first_sentence(error)}{also}; {out}"
        raise UserError(said) from error


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keeps progress bars and load reports out of a script's output; what they report is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
