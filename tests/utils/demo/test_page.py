"""The page, asked over HTTP as a browser asks it; what is asked is a stand-in, right by construction."""

from __future__ import annotations

import importlib
import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from utils.errors import UserError
from utils.media.images import opened
from utils.types import Answer, Prediction, Sample

ALONE = threading.Lock()
METHODS = {"one": "finds the left half", "two": "finds <nothing>"}


@contextmanager
def alone(seconds: float = 0.0):
    """For a while; two at a time are a fault."""
    if not ALONE.acquire(blocking=False):
        raise UserError("two at a time")
    try:
        time.sleep(seconds)
        yield
    finally:
        ALONE.release()


def ask(image: str, sound: str, names: list[str]) -> dict[str, Answer]:
    """The left half by method one, and nothing by the other."""
    try:
        with alone(0.5 * (len(names) > 1)), opened(image) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise UserError(str(error)) from error
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
    with alone(0.5):
        (folder / "further.csv").write_text("")
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
def dropped(tmp_path_factory):
    """Where Gradio keeps what is dropped."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("dropped")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def served(page, client, dropped):
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


def test_a_broken_picture_is_told_by_what_reads_it_and_an_iphones_is_read(served, client, files, tmp_path):
    (tmp_path / "broken.jpg").write_text("no picture")
    with pytest.raises(client.exceptions.AppError, match="^cannot identify image file 'broken.jpg'$"):
        served.predict(client.handle_file(str(tmp_path / "broken.jpg")), files[1], ["one"], api_name="/ask")
    register = pytest.importorskip("pillow_heif").from_pillow
    register(Image.new("RGB", (64, 64), "green")).save(tmp_path / "green.heic")
    pictures, _ = served.predict(client.handle_file(str(tmp_path / "green.heic")), files[1], ["one"], api_name="/ask")
    assert pictures[0]["caption"] == "one: 50.0% of the picture"


def test_a_picture_and_a_video_wait_for_each_other_and_only_the_video_is_kept(served, client, files, dropped, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"moving pictures")
    video = client.handle_file(str(tmp_path / "clip.mp4"))
    jobs = [served.submit(*files, ["one", "two"], api_name="/ask"), served.submit(video, "two", api_name="/ask_video")]
    assert all(job.result(timeout=30) for job in jobs)
    assert next(dropped.rglob("two.mp4")).read_bytes() == b"moving pictures"
    assert not [*dropped.rglob("further.csv")]


def test_a_port_that_is_taken_ends_in_one_sentence(served, page):
    built = page.build("About.", METHODS, ["one"], [], ask, ask_video)
    port = int(served.src.rstrip("/").rpartition(":")[2])
    with pytest.raises(
        UserError,
        match=f"cannot serve on 127.0.0.1, port {port}: the port is taken.*take another",
    ):
        page.serve(built, "127.0.0.1", port, prevent_thread_lock=True)
