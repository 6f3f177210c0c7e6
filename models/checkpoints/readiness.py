"""Whether a config runs on this machine: what lacks, how much memory it needs, and what to do, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from models.checkpoints.inventory import Network, take_stock
from models.checkpoints.machine import Device
from utils.cli import DEFAULT_CONFIG

if TYPE_CHECKING:
    from models.config import Config
    from models.fetch import Key, Order

DEFAULT = DEFAULT_CONFIG
LIBRARIES = 1.0e9  # bytes: Python, torch, transformers, one sample; measured with bundled networks
# For what is computed with them: this share of the weights, and no more than that. `python -m models.measure` on
# networks of published sizes: 1.5 GB beside base's 2.9 GB of weights, under 1 GB beside 8.9 GB.
WORKING_SHARE, WORKING_LIMIT = 0.5, 2.0e9
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Readiness:
    """One config on this machine.

    Attributes:
        config: as read.
        networks: its networks as they are here.
        memory: method -> about how many bytes it needs; None where a network's size is unknown.
        device: where it would run.
        orders: what the hub says of the networks that are not ready, where it was asked.
    """

    config: Config
    networks: Sequence[Network]
    memory: Mapping[str, float | None]
    device: Device
    orders: Mapping[Key, Order] = field(default_factory=dict)

    @property
    def lacking(self) -> list[Network]:
        """The networks that are not here, or not whole."""
        return [network for network in self.networks if not network.ready]

    @property
    def too_large(self) -> list[str]:
        """The methods that need more memory than there is."""
        return [method for method, need in self.memory.items() if need and need > self.device.memory]

    @property
    def ready(self) -> bool:
        """Whether every network is here and every method fits into memory."""
        return not self.lacking and not self.too_large


def examine(config: Config, device: Device, *, online: bool = False) -> Readiness:
    """Looks at one config.

    Args:
        config: from `load_config`.
        device: where it would run.
        online: whether the hub is asked about what lacks.
    """
    from models.fetch import key_of, place_orders

    networks = take_stock(config)
    orders = place_orders(networks) if online else {}
    networks = [_as_the_hub_says(network, orders.get(key_of(network))) for network in networks]
    return Readiness(config, networks, memory_of(networks), device, orders)


def _as_the_hub_says(network: Network, order: Order | None) -> Network:
    """The catalogue's word on gates and pickles gives way to the hub's, where the hub was asked and knows."""
    kind = getattr(order.refusal, "kind", None) if order else None
    if not order or not network.published or not (order.repository or kind in ("gated", "pickled")):
        return network
    published = replace(network.published, gated=kind == "gated", pickled=kind == "pickled")
    return replace(network, published=published)


def memory_of(networks: Sequence[Network]) -> dict[str, float | None]:
    """About how much memory each method needs: its networks' weights, LIBRARIES, and room to work.

    Args:
        networks: of one config.

    Returns:
        Method -> bytes; None where a network's size is unknown. Methods for which the config lacks a role are left out.
    """
    import methods

    played = {network.source.role for network in networks}
    needs: dict[str, float | None] = {}
    for method in filter(methods.listens, methods.available()):  # baselines need nothing more
        roles = methods.requires(method)
        if not played.issuperset(roles):
            continue
        used = [network for network in networks if network.source.role in roles]
        known = all(network.parameters for network in used)
        weights = sum((network.parameters or 0) * DTYPE_BYTES[network.source.dtype] for network in used)
        needs[method] = LIBRARIES + weights + min(WORKING_SHARE * weights, WORKING_LIMIT) if known else None
    return needs


def memory_in_words(memory: Mapping[str, float | None]) -> str:
    """From which method's need to which's."""
    from models.checkpoints.download import megabytes

    needs = {method: need for method, need in memory.items() if need}
    if not needs:
        return "unknown before the networks are here"
    low, high = (pick(needs, key=lambda method: needs[method]) for pick in (min, max))
    unknown = sorted(set(memory) - set(needs))
    if unknown:
        return f"about {megabytes(needs[high])} ({high}); unknown for {', '.join(unknown)} before its networks are here"
    if needs[high] < 1.1 * needs[low]:
        return f"about {megabytes(needs[high])}, whatever the method"
    return f"about {megabytes(needs[low])} ({low}) to {megabytes(needs[high])} ({high})"


def verdict(found: Readiness) -> str:
    """One sentence: ready, or what keeps it from that."""
    from models.checkpoints.download import megabytes

    said = []
    if found.lacking:
        said.append(f"{len(found.lacking)} of {len(found.networks)} networks are not on this machine")
    if found.too_large:
        need = max(need for need in found.memory.values() if need)
        which = "" if len(found.too_large) == len(found.memory) else f" for {' and '.join(found.too_large)}"
        said.append(
            f"too large for its memory{which} (about {megabytes(need)} needed, {megabytes(found.device.memory)} there)"
        )
    return f"NOT READY: {'; '.join(said)}" if said else "READY"


def steps(found: Readiness) -> list[str]:
    """What to do, in order: commands to paste, and what only a person can do."""
    from models.checkpoints.refusals import endpoint

    bundled = found.config.path.parent.name == "configs"
    name = found.config.name if bundled else str(found.config.path)
    if found.memory and len(found.too_large) == len(found.memory):
        return ["take a smaller config or a larger machine, or try half the memory: --set ROLE.dtype=bfloat16"]
    todo = []
    gated = [network for network in found.lacking if network.state == "gated"]
    for network in gated:
        instead = network.published.alternative if network.published else None
        todo.append(
            f"accept the licence at {endpoint()}/{network.source.weights}"
            + (f" (or take {instead})" if instead else "")
        )
    if gated:
        todo.append("hf auth login")
    fetched = [network for network in found.lacking if not network.local]
    if fetched:
        convert = " --convert" if any(network.state == "pickled" for network in fetched) else ""
        todo.append(f"python -m models.fetch --config {name}{convert}    ({_total(fetched)})")
    todo += [
        f"put in order {network.source.weights}: {'; '.join(network.faults)}"
        for network in found.lacking
        if network.local
    ]
    flags = "" if name == DEFAULT else f" --config {name}"
    if found.too_large:
        flags += f" --methods {' '.join(method for method in found.memory if method not in found.too_large)}"
    return [*todo, f"python inference_demo.py{flags}"]


def _total(networks: Sequence[Network]) -> str:
    from models.checkpoints.download import megabytes

    sizes = {network.source.weights: network.bytes for network in networks}
    known = sum(size or 0 for size in sizes.values())
    if None not in sizes.values():
        return f"about {megabytes(known)}"
    return f"more than {megabytes(known)}" if known else "of unknown size"
