"""The page, asked over HTTP as a browser asks it; what is asked is a stand-in, right by construction."""

from __future__ import annotations

import importlib
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.errors import UserError
from utils.types import Answer, Prediction, Sample

METHODS = {"one": "finds the left half", "two": "finds <nothing>"}


def ask(image: str, sound: str, names: list[str]) -> dict[str, Answer]:
    """The left half by method one, and nothing by the other."""
    with Image.open(image) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape[1] > 100:
        raise UserError(f"cannot read the image {image}: it is too wide")
    mask = np.zeros(pixels.shape[:2], bool)
    mask[:, : pixels.shape[1] // 2] = True
    found = {}
    for name in names:
        own = mask if name == "one" else ~mask & mask
        trail = {"heard": "a <b>dog</b>", "candidates": [{"text": "dog", "score": 0.75}], "query": "dog"}
        prediction = Prediction(own.astype(np.float32), (), trail)
        found[name] = Answer(name, Sample("a", pixels, np.zeros(9, np.float32), 8000), prediction, own, "dog", "")
    return found


def ask_video(video: str, name: str, folder: Path) -> Path:
    """The video as it came."""
    return Path(shutil.copy(video, folder / f"{name}.mp4"))


@pytest.fixture(scope="module")
def client():
    """Gradio's own; importing it takes seconds."""
    return pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def page(client):
    """The module that is tested."""
    return importlib.import_module("utils.demo.page")


@pytest.fixture(scope="module")
def served(page, client):
    """A client of the page, which nobody but this machine reaches."""
    built = page.build("About the networks.", METHODS, ["one"], [], ask, ask_video)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = page.serve(built, "127.0.0.1", port, prevent_thread_lock=True)
    yield client.Client(address, verbose=False)
    built.close(verbose=False)


@pytest.fixture
def files(client, tmp_path):
    """A picture of 40 x 20 pixels and a file that stands for a sound."""
    Image.new("RGB", (40, 20), "green").save(tmp_path / "green.png")
    (tmp_path / "some.wav").write_bytes(b"RIFF")
    return [client.handle_file(str(tmp_path / name)) for name in ("green.png", "some.wav")]


def test_pictures_and_the_story_of_each_answer(served, files):
    pictures, story = served.predict(*files, ["one", "two"], api_name="/ask")
    assert [one["caption"] for one in pictures] == ["one: 50.0% of the picture", "two: nothing found"]
    with Image.open(pictures[0]["image"]) as drawn:
        left, right = (np.asarray(drawn.convert("RGB"))[10, x] for x in (5, 35))
    assert tuple(right) == (0, 128, 0) != tuple(left)
    assert story.count("<table>") == 2
    assert "a &lt;b&gt;dog&lt;/b&gt;" in story
    assert re.search(r'<td>weighed</td><td><i style="width: 4\.50em"></i>0\.750 dog</td>', story)


def test_what_lacks_is_named(served, client, files):
    with pytest.raises(client.exceptions.AppError, match="found no method; add one"):
        served.predict(*files, [], api_name="/ask")
    with pytest.raises(client.exceptions.AppError, match="found no sound; add one"):
        served.predict(files[0], None, ["one"], api_name="/ask")


def test_a_fault_is_told_without_the_folders_of_this_machine(served, client, files, tmp_path):
    Image.new("RGB", (200, 20)).save(tmp_path / "wide.png")
    with pytest.raises(client.exceptions.AppError) as told:
        served.predict(client.handle_file(str(tmp_path / "wide.png")), files[1], ["one"], api_name="/ask")
    assert str(told.value) == "cannot read the image wide.png: it is too wide"


def test_a_port_that_is_taken_ends_in_one_sentence(served, page):
    built = page.build("About.", METHODS, ["one"], [], ask, ask_video)
    port = int(served.src.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=f"cannot serve on 127.0.0.1, port {port}.*take another --host or --port"):
        page.serve(built, "127.0.0.1", port, prevent_thread_lock=True)
