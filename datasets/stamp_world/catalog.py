"""The things of the stamps world: which nouns there are, and which photograph and recording belongs to each.

Everything comes from two Debian packages, both GPL-2: photographic cut-outs with alpha and recordings of the same
things from `tuxpaint-stamps-default`, photographs for backgrounds from `tuxpaint-data`. Nothing needs root:

    mkdir -p data && cd data
    apt-get download tuxpaint-stamps-default tuxpaint-data
    for deb in tuxpaint-*.deb; do dpkg-deb -x "$deb" tuxpaint; done

A kind is kept when it has a photographic cut-out and an audible recording of its own; recordings that the package
gives to two kinds (badger and beaver, ram and chamois) are used for one of them only, and four recordings that are
pure silence (giraffe, iguana, rhea, wombat) are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from utils.errors import UserError

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "data" / "tuxpaint"
VERSIONS = {  # those this was written with
    "tuxpaint-stamps-default": "2022.06.04-1",
    "tuxpaint-data": "1:0.9.28-sdl2-1",
}
PHOTOS = "usr/share/tuxpaint/templates"  # below an unpacked tree


@dataclass(frozen=True)
class Kind:
    """One kind of thing.

    Attributes:
        noun: its name in captions, queries and labels.
        photos: cut-outs trained on, paths below `stamps/` without extension.
        unseen_photos: further cut-outs of the kind, never trained on.
        sounds: recordings, paths below `stamps/` without extension; empty for a silent distractor.
        verb: what it does when it sounds ("barking"); "" for a silent distractor.
    """

    noun: str
    photos: tuple[str, ...]
    unseen_photos: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    verb: str = ""

    @property
    def phrase(self) -> str:
        """The noun with its indefinite article where it takes one, e.g. "an owl", "scissors"."""
        if self.noun in _NO_ARTICLE:
            return self.noun
        return ("an " if self.noun[0] in "aeiou" else "a ") + self.noun

    @property
    def sound_caption(self) -> str:
        """What an audio captioner should say, e.g. "a dog is barking"."""
        return f"{self.phrase} {'are' if self.noun.endswith('scissors') else 'is'} {self.verb}"


_NO_ARTICLE = ("scissors", "corn", "broccoli")
_BIRDS, _MAMMALS = "animals/birds/", "animals/mammals/"

# noun: (photo, unseen photos, verb); the recording has the photo's name
_SOUNDING: dict[str, tuple[str, tuple[str, ...], str]] = {
    "frog": ("animals/amphibians/frog", ("animals/amphibians/frog-1",), "croaking"),
    "blackbird": (_BIRDS + "blackbird", (), "singing"),
    "crow": (_BIRDS + "crow", (), "cawing"),
    "cuckoo": (_BIRDS + "cuckoo", (), "calling"),
    "duck": (_BIRDS + "duck", (_BIRDS + "drake",), "quacking"),
    "goose": (_BIRDS + "gander", (), "honking"),
    "hen": (_BIRDS + "hen", (_BIRDS + "chicken_profile",), "clucking"),
    "heron": (_BIRDS + "heron_greatblue_flying", (_BIRDS + "heron_greatblue",), "squawking"),
    "lark": (_BIRDS + "lark", (), "singing"),
    "owl": (_BIRDS + "owl", (), "hooting"),
    "penguin": (_BIRDS + "penguin", (_BIRDS + "little-penguin", _BIRDS + "magellanic_penguin"), "braying"),
    "quetzal": (_BIRDS + "quetzal", (), "whistling"),
    "rooster": (_BIRDS + "rooster", (), "crowing"),
    "seagull": (_BIRDS + "seagull", (_BIRDS + "silver-gull",), "screaming"),
    "toucan": (_BIRDS + "tucan", (), "croaking"),
    "turkey": (_BIRDS + "turkey", (), "gobbling"),
    "vulture": (_BIRDS + "vulture", (), "hissing"),
    "grasshopper": ("animals/insects/grasshopper", (), "chirping"),
    "hornet": ("animals/insects/hornet", (), "buzzing"),
    "moth": ("animals/insects/xanthia", (), "fluttering"),
    "chimpanzee": (_MAMMALS + "apes/chimp", (), "screeching"),
    "gorilla": (_MAMMALS + "apes/gorilla", (), "grunting"),
    "dolphin": (_MAMMALS + "aquatic/dolphin", (), "clicking"),
    "orca": (_MAMMALS + "aquatic/orca", (), "whistling"),
    "sea lion": (_MAMMALS + "aquatic/sea_lion", (), "barking"),
    "whale": (_MAMMALS + "aquatic/whale", (), "singing"),
    "bear": (_MAMMALS + "bears/bear", (_MAMMALS + "bears/european-bear",), "growling"),
    "bison": (_MAMMALS + "bovines/bison", (), "grunting"),
    "bull": (_MAMMALS + "bovines/bull", (), "bellowing"),
    "cow": (_MAMMALS + "bovines/cow", (_MAMMALS + "bovines/cow_white",), "mooing"),
    "goat": (_MAMMALS + "bovines/goat", (_MAMMALS + "bovines/mountaingoat",), "bleating"),
    "sheep": (_MAMMALS + "bovines/sheep", (_MAMMALS + "bovines/ram",), "bleating"),
    "lamb": (_MAMMALS + "bovines/sheep_lamb", (), "bleating"),
    "camel": (_MAMMALS + "camel/camel", (_MAMMALS + "camel/dromedary",), "groaning"),
    "lion": (_MAMMALS + "cats/lion", (_MAMMALS + "cats/lion-2",), "roaring"),
    "tiger": (_MAMMALS + "cats/tiger", (_MAMMALS + "cats/tiger_sumatran",), "roaring"),
    "reindeer": (_MAMMALS + "deer/caribou", (), "grunting"),
    "deer": (_MAMMALS + "deer/deer", (_MAMMALS + "deer/doe", _MAMMALS + "deer/wapiti"), "calling"),
    "dog": (_MAMMALS + "dogs/dog", (_MAMMALS + "dogs/dingo",), "barking"),
    "fox": (_MAMMALS + "dogs/fox", (), "yelping"),
    "elephant": (_MAMMALS + "elephant", (), "trumpeting"),
    "donkey": (_MAMMALS + "equines/donkey", (_MAMMALS + "equines/donkey_eating",), "braying"),
    "horse": (_MAMMALS + "equines/horse", (), "neighing"),
    "zebra": (_MAMMALS + "equines/zebra", (), "barking"),
    "ferret": (_MAMMALS + "ferret", (), "chattering"),
    "hippo": (_MAMMALS + "hippopotamus", (), "grunting"),
    "pig": (_MAMMALS + "pig", (_MAMMALS + "pig_golden", _MAMMALS + "pig_golden2"), "grunting"),
    "beaver": (_MAMMALS + "rodents/beaver", (), "growling"),
    "mouse": (_MAMMALS + "rodents/mouse", (), "squeaking"),
    "rabbit": (_MAMMALS + "rodents/rabbit", (_MAMMALS + "rodents/rabbit-2", _MAMMALS + "rabbit_little"), "squealing"),
    "squirrel": (_MAMMALS + "rodents/squirrel", (), "chattering"),
    "koala": ("animals/marsupials/koala", (), "bellowing"),
    "camera": ("hobbies/camera_35mm", (), "clicking"),
    "cymbal": ("hobbies/music/percussion/cymbal_crash", (), "crashing"),
    "drum": ("hobbies/music/percussion/drum_tomtom_floor", (), "being played"),
    "drum kit": ("hobbies/music/percussion/drumkit", (), "being played"),
    "cello": ("hobbies/music/string/cello", (), "being played"),
    "violin": ("hobbies/music/string/violin", (), "being played"),
    "bassoon": ("hobbies/music/wind/bassoon", (), "being played"),
    "kettle": ("household/kettle", (), "clicking"),
    "toilet": ("household/toilet", (), "flushing"),
    "hammer": ("household/tools/hammer", (), "knocking"),
    "saw": ("household/tools/saw", (), "cutting"),
    "scissors": ("household/arttools/scissors_small_open", ("household/arttools/scissors_small_closed",), "snipping"),
    "fire truck": ("vehicles/emergency/firetruck", (), "wailing"),
    "rubber duck": ("household/rubberduck", (), "squeaking"),
}

_SILENT: dict[str, str] = {
    "pineapple": "food/fruit/pineapple",
    "orange": "food/fruit/orange",
    "pear": "food/fruit/pear",
    "strawberry": "food/fruit/Strawberry2",
    "lemon": "food/fruit/lemon",
    "tomato": "food/vegetables/tomato",
    "broccoli": "food/vegetables/broccoli",
    "pumpkin": "food/vegetables/pumpkin_small",
    "corn": "food/vegetables/corn",
    "onion": "food/vegetables/onion",
    "mushroom": "plants/mushrooms/cep",
    "rose": "plants/flowers/rose",
    "daffodil": "plants/flowers/daffodil",
    "mug": "household/dishes/mug",
    "teapot": "household/dishes/teapot",
    "basketball": "sports/basketball",
    "trophy": "sports/trophy_cup",
    "seahorse": "animals/fish/seahorse",
    "lobster": "animals/fish/lobster",
    "balloon": "vehicles/flight/balloon360",
}

SOUNDING: tuple[Kind, ...] = tuple(
    Kind(noun, (photo,), unseen, (photo,), verb) for noun, (photo, unseen, verb) in _SOUNDING.items()
)
SILENT: tuple[Kind, ...] = tuple(Kind(noun, (photo,)) for noun, photo in _SILENT.items())
KINDS: tuple[Kind, ...] = SOUNDING + SILENT
KIND_INDEX: dict[str, int] = {kind.noun: index for index, kind in enumerate(KINDS)}

# Photographs kept for testing only; every other one is for training, but for the one with sheep in it.
TEST_PHOTOS = ("cliff", "lighthouse", "mossy_log", "ocean_waves", "rocks", "trees_at_dusk")
UNUSED_PHOTOS = ("sheep",)


def stamp_path(root: Path, stamp: str, extension: str) -> Path:
    """Where a stamp's file lies below an unpacked tree."""
    return root / "usr/share/tuxpaint/stamps" / f"{stamp}.{extension}"


def needed_files() -> dict[str, tuple[str, ...]]:
    """Package -> the files of it that scenes cannot do without, as they lie below an unpacked tree."""
    below = Path()
    stamps = [stamp_path(below, stamp, "png") for kind in KINDS for stamp in (*kind.photos, *kind.unseen_photos)]
    stamps += [stamp_path(below, stamp, "ogg") for kind in KINDS for stamp in kind.sounds]
    photos = [below / PHOTOS / f"{name}.jpg" for name in TEST_PHOTOS]
    return {
        "tuxpaint-stamps-default": tuple(path.as_posix() for path in stamps),
        "tuxpaint-data": tuple(path.as_posix() for path in photos),
    }


@lru_cache(maxsize=4)
def check_root(root: Path) -> Path:
    """Returns `root` if it holds both unpacked packages.

    Raises:
        UserError: a package is missing there, and the message holds the commands that bring it; or it lacks a file.
    """
    missing = {
        package: [name for name in names if not (root / name).exists()] for package, names in needed_files().items()
    }
    absent = [package for package, names in missing.items() if len(names) == len(needed_files()[package])]
    if absent:
        unpack = " && ".join(f"dpkg-deb -x {package}_*.deb {root}" for package in absent)
        raise UserError(
            f"expected the Debian package {' and '.join(absent)} unpacked at {root}, found no {missing[absent[0]][0]}; "
            f"get it with: mkdir -p {root} && apt-get download {' '.join(absent)} && {unpack}"
        )
    for package, names in missing.items():
        if names:
            raise UserError(
                f"expected the files of {package} {VERSIONS[package]}, found no {names[0]} and {len(names)} missing in "
                "all; take that version of the package"
            )
    return root


def background_photos(root: Path, split: str) -> list[Path]:
    """Background photographs of a split ("train" or "test"), sorted by name."""
    photos = sorted((root / PHOTOS).glob("*.jpg"))
    photos = [path for path in photos if path.stem not in UNUSED_PHOTOS]
    return [path for path in photos if (path.stem in TEST_PHOTOS) == (split == "test")]
