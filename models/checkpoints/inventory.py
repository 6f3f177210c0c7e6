"""What a config needs, and what of it is on this machine: read from the disk and the catalogue, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.checkpoints.files import Size, faults, size_of
from models.checkpoints.hub import Checkpoint, cached, local_folder, looked_at
from models.checkpoints.published import Published, catalogue
from models.config import ROOT, Config, Source, family_class, sources

PRESENT, PARTIAL, BROKEN, MISSING = "present", "in part", "broken", "missing"


@dataclass(frozen=True)
class Network:
    """One network of a config.

    Attributes:
        source: as the config names it.
        checkpoint: where its files are; None where there are none.
        faults: what lacks there, one phrase each.
        size: of the weights here; None where there are none, or none in safetensors.
        published: what the catalogue knows of it; None for nothing.
    """

    source: Source
    checkpoint: Checkpoint | None
    faults: tuple[str, ...]
    size: Size | None
    published: Published | None

    @property
    def ready(self) -> bool:
        """Whether a loader finds all it needs."""
        return self.checkpoint is not None and not self.faults

    @property
    def local(self) -> bool:
        """Whether it is a folder, which no hub can complete."""
        return local_folder(self.source.weights) is not None

    @property
    def role(self) -> str:
        """Its role, with the part's name where the role has several networks."""
        return ".".join(filter(None, (self.source.role, self.source.part)))

    @property
    def state(self) -> str:
        """One word or two for a table."""
        if self.ready:
            return PRESENT
        if self.checkpoint and self.checkpoint.folder.is_dir():
            return BROKEN if self.local else PARTIAL
        known = self.published
        return "gated" if known and known.gated else "pickled" if known and known.pickled else MISSING

    @property
    def license(self) -> str:
        """As the config says, else the catalogue."""
        return self.source.license or (self.published.license if self.published else "unknown")

    @property
    def bytes(self) -> int | None:
        """Of the weights: counted where they are here, else about what the catalogue says; None for unknown."""
        return self.size.bytes if self.size else self.published.bytes if self.published else None

    @property
    def parameters(self) -> float | None:
        """How many numbers it has; None for unknown."""
        if self.size:
            return self.size.parameters or None
        return self.published.parameters * 1e6 if self.published and self.published.parameters else None


def take_stock(config: Config) -> list[Network]:
    """Every network of a config, in its order."""
    return [look(source) for source in sources(config)]


def look(source: Source) -> Network:
    """One network as it is on this machine."""
    file = next((path for path in looked_at(source.weights) if path.is_file()), None)
    if file:  # a family that reads one file
        checkpoint, size = Checkpoint(source.weights, file.parent, None), Size(0, file.stat().st_size)
        return Network(source, checkpoint, (), size, None)
    folder = local_folder(source.weights)
    checkpoint = Checkpoint(source.weights, folder, None) if folder else cached(source.weights, source.revision)
    found: list[str] = []
    if checkpoint:
        found = faults(checkpoint.folder, of_the_hub=not folder, code=source.trust_remote_code, files=files_of(source))
    size = size_of(checkpoint.folder) if checkpoint and not found and not files_of(source) else None
    return Network(source, checkpoint, tuple(found), size, catalogue().get(source.weights))


def files_of(source: Source) -> tuple[str, ...]:
    """What a family reads where its checkpoints are of another kind: its class says so in `hub_files`."""
    if not source.role:
        return ()
    family = family_class(source.role, source.family)
    return tuple(getattr(family.parts[source.part] if source.part else family, "hub_files", ()))


def table(networks: Sequence[Network], sizes: Sequence[str]) -> list[str]:
    """Lines with role, network, state, size and licence of each.

    Args:
        networks: the rows.
        sizes: of each, in words.
    """
    rows = [("role", "network", "state", "size", "licence")]
    for network, size in zip(networks, sizes, strict=True):
        rows.append((network.role, _name(network.source), network.state, size, network.license))
    if not any(network.role for network in networks):  # hub ids that no config names
        rows = [row[1:] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = rows[0].index("size")
    lines = []
    for row in rows:
        padded = [
            cell.rjust(width) if column == right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def home_relative(path: Path) -> str:
    """A path as people write it: with "~" for their home folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _name(source: Source) -> str:
    """The weights as a reader recognises them: paths in the repository relative to it, and the revision if pinned."""
    path = Path(source.weights)
    name = source.weights
    if path.is_absolute():
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else home_relative(path)
    if not source.revision:
        return name
    return f"{name}@{source.revision[:7] if len(source.revision) == 40 else source.revision}"
