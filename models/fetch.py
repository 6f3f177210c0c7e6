"""What networks a config needs, what of them is on this machine, and fetching what lacks into the hub's cache.

python -m models.fetch --config base
python -m models.fetch facebook/sam2.1-hiera-base-plus

A network that cannot be had does not keep the others from coming; the program then ends with an error that names what
lacks. The same command goes on with the files that are not here yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.checkpoints import Published, catalogue
from models.checkpoints.hub import HubError, Repository, ask, cache_folder, cached, check_room, fetch, megabytes
from models.config import Config, Source, files_of, load_config, sources
from models.convert import convert
from models.weights import Checkpoint, count_parameters, faults, local_path, refusal, weights_among
from utils.cli import Parser, add_config_options
from utils.errors import UserError, run_script


@dataclass(frozen=True)
class Network:
    """One network of a config, as it is on this machine; and, once the hub was asked, there.

    Attributes:
        source: as the config names it.
        published: what the catalogue knows of it.
        checkpoint: where its files are; None where there are none.
        faults: what lacks there, one phrase each.
        state: "present", "in part" or "broken" (in the cache or a folder); else "gated", "pickled" or "missing".
        bytes: of the weights: counted where they are here, else about what the catalogue says; None for unknown.
        parameters: how many numbers it has; None for unknown.
        repository, names: what the hub has of it, and the files of it that a loader reads.
        refusal: why it cannot be had.
    """

    source: Source
    published: Published
    checkpoint: Checkpoint | None
    faults: Sequence[str]
    state: str
    bytes: int | None
    parameters: float | None
    repository: Repository | None = None
    names: Sequence[str] = ()
    refusal: HubError | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """Weights and revision: what is fetched once, however many roles it plays."""
        return self.source.weights, self.source.revision

    @property
    def role(self) -> str:
        """Its role, with the part's name where the role has several networks."""
        return ".".join(filter(None, (self.source.role, self.source.part)))

    @property
    def ready(self) -> bool:
        """Whether a loader finds all it needs."""
        return self.state == "present"

    @property
    def local(self) -> bool:
        """Whether it is a folder or file, which no hub can complete."""
        return local_path(self.source.weights) is not None

    @property
    def to_come(self) -> int | None:
        """Bytes that lack here: as the hub lists them, else about what the catalogue says; None for unknown."""
        return sum(self.repository.missing(self.names).values()) if self.repository else self.bytes


def take_stock(config: Config) -> list[Network]:
    """Every network of a config, in its order, without asking the hub."""
    return [look(source) for source in sources(config)]


def look(source: Source) -> Network:
    """One network as it is on this machine."""
    path, files, published = local_path(source.weights), files_of(source), catalogue().get(source.weights, Published())
    checkpoint = Checkpoint(source.weights, path) if path else cached(source.weights, source.revision)
    state = "gated" if published.gated else "pickled" if published.pickled else "missing"
    size, parameters = published.bytes, published.parameters and published.parameters * 1e6
    found: list[str] = []
    if checkpoint:
        folder = checkpoint.path
        found = faults(folder, code=source.trust_remote_code, files=files)
        if found and folder.is_dir():
            state = "broken" if path else "in part"
        elif not found:
            state = "present"
            names = [""] if folder.is_file() else files or weights_among(path.name for path in folder.iterdir())
            size = sum((folder / name).stat().st_size for name in names)
            parameters = parameters if files or folder.is_file() else count_parameters(folder)
    return Network(source, published, checkpoint, found, state, size, parameters)


def ask_hub(networks: Sequence[Network]) -> list[Network]:
    """The networks with what the hub says of those that lack: each asked for once, none after an "unreachable"."""
    answers: dict[tuple[str, str | None], dict[str, Any]] = {}
    unreachable: HubError | None = None
    for network in networks:
        if network.ready or network.key in answers:
            continue
        state, source = network.state, network.source
        try:
            if network.local:
                raise HubError("local", str(refusal(source.weights, network.checkpoint.path, network.faults)))
            if unreachable:
                raise unreachable
            repository = ask(*network.key)
            names = repository.needed(source.trust_remote_code, files_of(source))
            answer = {"repository": repository, "names": names, "state": "gated" if repository.gated else "missing"}
        except HubError as error:
            answer = {"refusal": error, "state": error.kind if error.kind in ("gated", "pickled") else state}
            unreachable = error if error.kind == "unreachable" else unreachable
        answers[network.key] = answer | ({"state": state} if state == "in part" else {})
    return [network if network.ready else replace(network, **answers[network.key]) for network in networks]


def table(networks: Sequence[Network]) -> list[str]:
    """Lines with role, network, state, size (of what is still to come, where it is known) and licence."""
    roles = any(network.role for network in networks)  # hub ids that no config names have none
    rows = [("role" if roles else "", "network", "state", "size", "licence")]
    for network in networks:
        size = "?" if network.to_come is None else megabytes(network.to_come)
        license = network.source.license or network.published.license
        about = "" if size == "?" or network.ready or network.repository else "about "
        rows.append((network.role, _name(network.source), network.state, about + size, license))
    a, b, c, d, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    form = f"{{:<{a}}}  {{:<{b}}}  {{:<{c}}}  {{:>{d}}}  {{}}"
    return [form.format(*row).strip() for row in rows]


def home_relative(path: Path) -> str:
    """A path as people write it: with "~" for their home folder."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def _name(source: Source) -> str:
    """The weights as a reader recognises them, with the revision if pinned."""
    name = home_relative(Path(source.weights)) if Path(source.weights).is_absolute() else source.weights
    if not source.revision:
        return name
    return f"{name}@{source.revision[:7] if len(source.revision) == 40 else source.revision}"


def carry_out(networks: Sequence[Network]) -> list[Network]:
    """Fetches, and converts what is pickled; returns the networks that could not be had, and says why on stderr.

    Raises:
        UserError: the disk has no room for all of them.
    """
    # Pickled weights are kept beside what is made of them.
    check_room(sum((network.to_come or 0) * (2 if network.refusal else 1) for network in networks))
    failed = []
    for network in networks:
        try:
            if network.refusal:
                convert(*network.key)
            else:
                fetch(network.repository, network.names)
        except UserError as error:
            failed.append(network)
            print(f"not fetched, {error}", file=sys.stderr, flush=True)
    return failed


def main(argv: Sequence[str] | None = None) -> list[Network]:
    """Fetches what a command line names; returns the networks as they are on this machine afterwards.

    Raises:
        UserError: no such config, or a network that could not be had.
    """
    arguments = _parse(argv)
    networks = ask_hub(_named(arguments))
    print("\n".join(table(networks)))
    lacking = list({network.key: network for network in networks if not network.ready}.values())
    total = len({network.key for network in networks})
    reasons = [network.refusal.reason for network in lacking if network.refusal and network.refusal.reason]
    if reasons:
        raise UserError(
            f"{len(lacking)} of {total} networks are not on this machine, and {reasons[0]}; run this again where the "
            f"hub can be reached, or copy {cache_folder()} from a machine that has them"
        )
    accepted = [one for one in lacking if not one.refusal or (arguments.convert and one.refusal.kind == "pickled")]
    size = megabytes(sum(network.to_come or 0 for network in accepted))
    said = f"to fetch: {size} for {len(accepted)} network{'s' * (len(accepted) > 1)}, to {cache_folder()}"
    if not accepted:
        said = "nothing can be fetched as it is" if lacking else "everything is here; nothing to fetch"
    print(f"\n{said}", flush=True)
    failed = [network for network in lacking if network not in accepted]
    for network in failed:
        print(f"not fetched, {network.refusal}", file=sys.stderr, flush=True)
    if arguments.dry_run:
        return networks
    failed += carry_out(accepted)
    networks = [look(network.source) for network in networks]
    if accepted and not failed:
        print("everything is here now")
    if arguments.print_revisions:
        print("\nto pin what is here, beside the weights in the config or after --set:")
        for network in networks:
            if network.ready and network.checkpoint.revision:
                print(f"  {network.role or network.source.weights}.revision={network.checkpoint.revision}")
    if failed:
        names = ", ".join(network.source.weights for network in failed)
        raise UserError(f"{len(failed)} of {total} networks could not be had: {names}")
    return networks


def _named(arguments: argparse.Namespace) -> list[Network]:
    if arguments.weights:
        return [look(Source("", "", "", weights, arguments.revision)) for weights in arguments.weights]
    if arguments.revision:
        said = "expected hub ids with --revision, found none; a config pins revisions itself, beside its weights"
        raise UserError(said)
    return take_stock(load_config(arguments.config, arguments.set))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    about = "Brings the weights of a config into the hub's cache, ahead of a run."
    parser = Parser(prog="python -m models.fetch", description=about)
    add = parser.add_argument
    add("weights", nargs="*", metavar="HUB_ID", help="these alone, instead of a config's")
    add_config_options(parser)
    parser.set_defaults(config="base")
    add("--revision", metavar="REV", help="commit, tag or branch of the given hub ids (default: their default branch)")
    add("--dry_run", action="store_true", help="say what would be fetched, and how large it is")
    about = "also fetch weights that are only there as pickles, and make safetensors of them without running code"
    add("--convert", action="store_true", help=about)
    add("--print_revisions", action="store_true", help="print the commits as lines to pin them in a config")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
