"""Brings the weights of a config into the hub's cache ahead of a run; what is there already is left alone.

python -m models.fetch --config base
python -m models.fetch facebook/sam2.1-hiera-base-plus

An interrupted download goes on where it stopped when the same command is run again. A network that cannot be had does
not keep the others from coming; the program then ends with an error that names what lacks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.checkpoints.hub import cache_folder, find
from models.checkpoints.inventory import Network, Source, files_of, look, table, take_stock
from utils.errors import UserError, run_script

if TYPE_CHECKING:
    from models.checkpoints.repository import RemoteFile, Repository

Key = tuple[str, str | None]  # weights and revision: what is fetched once, however many roles it plays


@dataclass(frozen=True)
class Order:
    """A network to be fetched.

    Attributes:
        network: as it is now.
        repository: what the hub says of it; None where it says nothing.
        files: that a loader reads and that lack here.
        refusal: why it cannot be fetched; None where it can.
    """

    network: Network
    repository: Repository | None = None
    files: Sequence[RemoteFile] = ()
    refusal: UserError | None = None

    @property
    def bytes(self) -> int:
        """Still to come; of pickled weights about what the catalogue says."""
        if self.refusal and _is_pickled(self.refusal):
            return self.network.bytes or 0
        return sum(file.size or 0 for file in self.files)

    @property
    def room(self) -> int:
        """Bytes of disk it takes: pickled weights are kept beside what is made of them."""
        return self.bytes * (2 if self.refusal and _is_pickled(self.refusal) else 1)


def main(argv: Sequence[str] | None = None) -> list[Network]:
    """Fetches what a command line names.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The networks, as they are on this machine afterwards.

    Raises:
        UserError: no such config, or a network that could not be had.
    """
    arguments = _parse(argv)
    networks = _named(arguments)
    orders = place_orders(networks)
    print("\n".join(table(networks, [size_in_words(network, orders.get(key_of(network))) for network in networks])))
    _check_reachable(networks, orders)
    failures = {key: order.refusal for key, order in orders.items() if order.refusal}
    if arguments.convert:
        failures = {key: error for key, error in failures.items() if not _is_pickled(error)}
    accepted = {key: order for key, order in orders.items() if key not in failures}
    print(f"\n{_summary(accepted) if orders else 'everything is here; nothing to fetch'}", flush=True)
    for error in failures.values():
        _say_not_fetched(error)
    if arguments.dry_run:
        return networks
    failures |= carry_out(accepted)
    networks = [look(network.source) for network in networks]
    if accepted and not failures:
        print("everything is here now")
    if arguments.print_revisions:
        print("\n".join(["\nto pin what is here, beside the weights in the config or after --set:", *_pins(networks)]))
    if failures:
        names = ", ".join(weights for weights, _ in failures)
        raise UserError(f"{len(failures)} of {len(set(map(key_of, networks)))} networks could not be had: {names}")
    return networks


def place_orders(networks: Sequence[Network]) -> dict[Key, Order]:
    """Asks the hub for each network that is not ready, once each.

    Returns:
        What is to be fetched, and what cannot be; empty where everything is here, and then nothing was asked.
    """
    from models.checkpoints.refusals import HubError
    from models.checkpoints.repository import ask

    orders: dict[Key, Order] = {}
    unreachable: HubError | None = None
    for network in networks:
        key, files = key_of(network), files_of(network.source)
        if network.ready or key in orders:
            continue
        try:
            if network.local:
                find(network.source.weights, trust_remote_code=network.source.trust_remote_code, files=files)
            elif unreachable:
                raise unreachable
            repository = ask(*key)
            wanted = repository.files_to_load(network.source.trust_remote_code, files)
            snapshot = cache_folder(key[0]) / "snapshots" / repository.commit
            orders[key] = Order(network, repository, [f for f in wanted if not (snapshot / f.name).is_file()])
        except HubError as error:
            orders[key] = Order(network, refusal=error)
            unreachable = error if error.kind == "unreachable" else None
        except UserError as error:
            orders[key] = Order(network, refusal=error)
    return orders


def carry_out(orders: Mapping[Key, Order]) -> dict[Key, UserError]:
    """Fetches, and converts what is pickled, one network after the other.

    Args:
        orders: from `place_orders`, refused ones only for being pickled.

    Returns:
        What could not be had, and why; each was said on stderr.

    Raises:
        UserError: the disk has no room for all of them.
    """
    from models.checkpoints.download import bring, check_room
    from models.convert import convert

    check_room(cache_folder("x"), sum(order.room for order in orders.values()))
    failures: dict[Key, UserError] = {}
    for key, order in orders.items():
        try:
            if order.repository:
                bring(order.repository, order.files, key[1])
            else:
                convert(*key)
        except UserError as error:
            failures[key] = error
            _say_not_fetched(error)
    return failures


def _check_reachable(networks: Sequence[Network], orders: Mapping[Key, Order]) -> None:
    from models.checkpoints.refusals import HubError

    refusals = [order.refusal for order in orders.values() if isinstance(order.refusal, HubError)]
    reason = next((refusal.reason for refusal in refusals if refusal.kind == "unreachable"), None)
    if reason:
        raise UserError(
            f"{len(orders)} of {len(set(map(key_of, networks)))} networks are not on this machine, and {reason}; run "
            f"this again where the hub can be reached, or copy {cache_folder('x').parent} from a machine that has them"
        )


def _named(arguments: argparse.Namespace) -> list[Network]:
    if arguments.weights:
        return [look(Source("", "", "", weights, arguments.revision)) for weights in arguments.weights]
    if arguments.revision:
        raise UserError(
            "expected hub ids with --revision, found none; a config pins revisions itself, beside its weights"
        )
    from models.config import load_config

    return take_stock(load_config(arguments.config, arguments.set))


def key_of(network: Network) -> Key:
    """What it is fetched by."""
    return network.source.weights, network.source.revision


def size_in_words(network: Network, order: Order | None) -> str:
    """What is still to come of an order; else how large the network is, with "about" where only the catalogue knows."""
    from models.checkpoints.download import megabytes

    if order and order.files:
        return megabytes(order.bytes)
    return "?" if network.bytes is None else f"{'' if network.ready else 'about '}{megabytes(network.bytes)}"


def _summary(orders: Mapping[Key, Order]) -> str:
    from models.checkpoints.download import megabytes

    if not orders:
        return "nothing can be fetched as it is"
    size = megabytes(sum(order.bytes for order in orders.values()))
    return f"to fetch: {size} for {len(orders)} network{'s' * (len(orders) > 1)}, to {cache_folder('x').parent}"


def _say_not_fetched(error: UserError) -> None:
    print(f"not fetched, {error}", file=sys.stderr, flush=True)


def _is_pickled(error: UserError) -> bool:
    return getattr(error, "kind", "") == "pickled"


def _pins(networks: Sequence[Network]) -> list[str]:
    """The commit each hub id stands for here, as --set takes it."""
    here = [network for network in networks if network.ready and network.checkpoint.revision]
    return [f"  {network.role or network.source.weights}.revision={network.checkpoint.revision}" for network in here]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.fetch",
        description="Brings the weights of a config into the hub's cache, ahead of a run.",
    )
    add = parser.add_argument
    add("weights", nargs="*", metavar="HUB_ID", help="these alone, instead of a config's")
    add("--config", default="base", metavar="NAME|PATH", help="whose networks (default: %(default)s)")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="override settings of the config",
    )
    add("--revision", metavar="REV", help="commit, tag or branch of the given hub ids (default: their default branch)")
    add("--dry_run", action="store_true", help="say what would be fetched, and how large it is")
    add(
        "--convert",
        action="store_true",
        help="also fetch weights that are only there as pickles, and make safetensors of them without running code",
    )
    add("--print_revisions", action="store_true", help="print the commits as lines to pin them in a config")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_script(main))
