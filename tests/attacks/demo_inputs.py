"""What people give to the demo: pictures, sounds, names, settings and output folders, most of them awkward."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.attacks.case import OUT, ROOT, Case, Judge, Make, Words
from tests.attacks.endings import answers, either, refuses
from tests.attacks.pictures import DOG, PICTURES, SIZE, Write, photo
from tests.attacks.sounds import MADE_WITH_PYAV, SOUNDS, sound

CONFIG = (ROOT / "configs" / "pocket.yaml").read_text(encoding="utf-8")
LOOKS, LISTENS = "cross_modal", "classify"  # the methods that are asked
LONG, LONGER = "x" * 245, "x" * 300  # with a suffix, file systems take the first and not the second
NAMES: dict[str, str] = {  # of the picture and of the sound, without suffix
    "spaces and quotes": """it's "our" dog """,
    "a line break": "two\nlines",
    "letters of elsewhere": "Hündin 犬 🐕",
    "a dash in front": "-SxV944iB48",
    "two dashes in front": "--seed",
    "245 bytes": LONG,
    "percent and brackets": "100%s [1]{x}*?",
    "not UTF-8": os.fsdecode(b"caf\xe9"),
    "dots": "..a.b..",
    "a control character": "bell\x07\x1b[31m",
}


def words(picture: str = "dog.jpg", heard: str = "dog.wav", *further: str, json: bool = True) -> Words:
    """A command line of the demo."""
    shown = ["--json"] if json else []
    return ["--img_path", picture, "--wav_path", heard, "--output", OUT, "--device", "cpu", *shown, *further]


def ordinary(folder: Path) -> None:
    """Makes dog.jpg and dog.wav."""
    photo().save(folder / "dog.jpg")
    sound()(folder / "dog.wav")


def asking(*further: str, picture: str = "dog.jpg", heard: str = "dog.wav") -> Make:
    """An ordinary picture and sound, and further words."""

    def make(folder: Path) -> Words:
        ordinary(folder)
        return words(picture, heard, *further)

    return make


def configured(content: str | bytes, *further: str) -> Make:
    """The same with a config of one's own."""

    def make(folder: Path) -> Words:
        ordinary(folder)
        (folder / "own.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return words("dog.jpg", "dog.wav", "--config", "own.yaml", "--methods", LISTENS, *further)

    return make


def setting(*values: str, method: str = LISTENS) -> Make:
    return asking("--methods", method, "--set", *values)


DEEP = "[" * 1000 + "]" * 1000
SETTINGS: dict[str, tuple[Make, Judge]] = {
    "a threshold that is no number": (asking("--threshold", "nan"), refuses("threshold")),
    "a threshold of 1.5": (asking("--threshold", "1.5"), refuses("threshold")),
    "a seed of -1": (asking("--methods", "text_inversion", "--seed", "-1"), refuses("seed")),
    "a seed of half": (asking("--seed", "0.5"), refuses("seed")),
    "steps of -5": (setting("text_inversion.steps=-5", method="text_inversion"), refuses("steps")),
    "a similarity that is no number": (
        setting("cross_modal.min_similarity=.nan", method="cross_modal"),
        refuses("min_similarity"),
    ),
    "a probability below 0": (setting("classify.min_probability=-0.5"), refuses("min_probability")),
    "silence at minus infinity": (setting("classify.silence_db=-.inf"), DOG),
    "silence at no number": (setting("classify.silence_db=.nan"), refuses("silence_db")),
    "a date as the prompt": (setting("classify.prompt=2024-01-01"), refuses("prompt")),
    "a mapping as the prompt": (setting("classify.prompt={a: {b: c}}"), refuses("prompt")),
    "a prompt without a place": (setting("classify.prompt=a photo"), refuses("prompt")),
    "a list as a number": (setting("classify.top_k=[1, 2]"), refuses("top_k")),
    "a deep list as the prompt": (setting(f"classify.prompt={DEEP}"), refuses("classify.prompt|nested|deep")),
    "an unknown setting": (setting("classify.loudness=3"), refuses("loudness")),
    "a setting of nobody": (setting("loudness.classify=3"), refuses("loudness")),
    "a setting without a value": (setting("classify.top_k"), refuses("classify.top_k")),
    "broken YAML as a value": (setting("classify.prompt='a {}"), refuses("prompt")),
    "no such network's folder": (setting("audio_tagger.weights=/no/such/folder"), refuses("/no/such/folder")),
    "an unknown method": (asking("--methods", "magic"), refuses("magic", "classify")),
    "an unknown device": (asking("--device", "tpu"), refuses("tpu", "cpu")),
    "an unknown config": (asking("--config", "huge"), refuses("huge", "pocket")),
    "a config of nobody's": (asking("--config", "~nosuchuser/own.yaml"), refuses("nosuchuser")),
    "a config with a long name": (asking("--config", LONGER), refuses(LONGER)),
    "a folder as the config": (asking("--config", "."), refuses("config")),
    "a config without anything": (configured(""), refuses(r"own\.yaml")),
    "a config that is a list": (configured("- a\n- b\n"), refuses(r"own\.yaml")),
    "a config with tabs": (configured("roles:\n\taudio_text: {}\n"), refuses(r"own\.yaml")),
    "a config that is not UTF-8": (configured("summary: caf\xe9\n".encode("latin-1")), refuses(r"own\.yaml", "utf-8")),
    "a config with a key twice": (
        configured(CONFIG + "  classify: {top_k: 2}\n  classify: {top_k: 3}\n"),
        refuses(r"own\.yaml", "twice|duplicate|again"),
    ),
    "a config nested deeply": (configured(f"summary: x\nroles: {DEEP}\n"), refuses(r"own\.yaml")),
    "a config with a date": (configured("summary: x\nroles: 2024-01-01\n"), refuses(r"own\.yaml")),
    "a config with an impossible date": (
        configured(CONFIG + "  classify: {prompt: 2024-13-45}\n"),
        refuses("own|prompt"),
    ),
    "a config that names itself": (configured("roles: &a\n  audio_text: *a\n"), refuses(r"own\.yaml|audio_text")),
    "a config from another system": (configured("\ufeff" + CONFIG.replace("\n", "\r\n")), DOG),
    "a wrong setting of a method that is not run": (
        configured(CONFIG.replace("ridge: 0.3", "ridge: -0.3")),
        refuses("ridge"),
    ),
    "a picture alone": (lambda folder: ordinary(folder) or words()[:2], refuses("wav_path")),
    "a sound alone": (lambda folder: ordinary(folder) or words()[2:4], refuses("img_path")),
    "an empty word as the picture": (asking(picture=""), refuses("image|img_path")),
    "a long word as the picture": (asking(picture=LONGER), refuses(LONGER)),
    "a long word as the sound": (asking(heard=LONGER), refuses(LONGER)),
    "an address as the picture": (asking(picture="https://example.org/dog.jpg"), refuses("example.org")),
    "nothing's device as the picture": (asking(picture=os.devnull), refuses(os.devnull)),
    "the picture as the sound": (asking(heard="dog.jpg"), refuses(r"dog\.jpg")),
    "the sound as the picture": (asking(picture="dog.wav"), refuses(r"dog\.wav")),
    "results below a file": (asking("--output", "dog.jpg/below"), refuses(r"dog\.jpg")),
    "results in a file": (asking("--output", "dog.jpg"), refuses(r"dog\.jpg")),
    "results in a folder with a long name": (asking("--output", LONGER), refuses(LONGER)),
    "results where none can be written": (asking("--output", "/proc/out"), refuses("/proc/out")),
    "results in a folder that is not UTF-8": (
        asking("--methods", LISTENS, "--output", os.fsdecode(b"out/caf\xe9")),
        answers(SIZE),
    ),
}


def given(name: str, write: Write, method: str) -> Make:
    """A file beside what is ordinary; a method that looks is given it as its picture, one that listens as its sound."""

    def make(folder: Path) -> Words:
        ordinary(folder)
        (folder / name).unlink(missing_ok=True)
        write(folder / name)
        return words(*(("dog.jpg", name) if method == LISTENS else (name, "dog.wav")), "--methods", method)

    return make


def named(stem: str) -> Make:
    """An ordinary picture and sound of this name, and an answer for a terminal."""

    def make(folder: Path) -> Words:
        photo().save(folder / f"{stem}.jpg")
        sound()(folder / f"{stem}.wav")
        return words(f"{stem}.jpg", f"{stem}.wav", "--methods", LISTENS, json=False)

    return make


def second_sound(folder: Path) -> Words:
    """The same picture with another sound."""
    ordinary(folder)
    shutil.copy(folder / "dog.wav", folder / "other.wav")
    return words("dog.jpg", "other.wav", "--methods", LISTENS)


def beside_a_letter(folder: Path) -> Words:
    ordinary(folder)
    (folder / "letter.txt").write_text("Dear Sir or Madam,\n")
    return words("dog.jpg", "dog.wav", "--methods", LISTENS, "caption")


def plant_links(folder: Path, run: Callable[[Words], None]) -> None:
    """Puts links to a letter in the place of all results."""
    run(words("dog.jpg", "dog.wav", "--methods", LISTENS, "caption"))
    for path in list((folder / OUT).glob("*")):
        path.unlink()
        path.symlink_to("../letter.txt")


def _cases() -> list[Case]:
    cases = []
    for method, kind, table in ((LOOKS, "picture", PICTURES), (LISTENS, "sound", SOUNDS)):
        for name, (file_name, write, ending) in table.items():
            needs = "av" if name in MADE_WITH_PYAV else ""
            cases.append(Case(f"{kind}: {name}", "demo", given(file_name, write, method), ending, needs=needs))
    printed = answers(SIZE, "dog", as_json=False)
    cases += [Case(f"name: {name}", "demo", named(stem), printed) for name, stem in NAMES.items()]
    cases += [Case(f"words: {name}", "demo", make, ending) for name, (make, ending) in SETTINGS.items()]
    lost = {"a line break": "no\nsuch.jpg", "what is not UTF-8": os.fsdecode(b"no\xe9such.jpg")}
    for name, picture in lost.items():
        cases.append(Case(f"name: a lost file with {name}", "demo", asking(picture=picture), refuses("no.{1,8}such")))

    def run_first(folder: Path, run: Callable[[Words], None]) -> None:
        run(words("dog.jpg", "dog.wav", "--methods", LISTENS))

    links = either(answers(), refuses("link"))
    return [
        *cases,
        Case("name: letters that a terminal lacks", "demo", named("犬 🐕"), printed, encoding="cp1252"),
        Case("results: one picture with two sounds", "demo", second_sound, answers(SIZE, "dog"), run_first),
        Case("results: links to a letter", "demo", beside_a_letter, links, plant_links, renews=True),
    ]


CASES = _cases()
