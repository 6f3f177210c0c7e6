"""In a real browser the report asks for nothing, complains of nothing, fits a phone, and is legible light and dark."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from utils.report import write_report
from utils.runs.results import write_records

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium")
SECONDS = 60  # for an answer of the browser
LONG = "a_name_that_goes_on_and_on_" * 3
specification = importlib.util.spec_from_file_location("report_runs", Path(__file__).with_name("report_runs.py"))
runs = importlib.util.module_from_spec(specification)
specification.loader.exec_module(runs)

FAINT = """
const channels = (text) => text.match(/[\\d.]+/g).map(Number);
const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const found = channels(getComputedStyle(one).backgroundColor);
    if (found.length < 4 || found[3] > 0) return found;
  }
  return [255, 255, 255];
};
JSON.stringify([...document.body.querySelectorAll('*')]
  .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
  .map((one) => {
    const [a, b] = [light(channels(getComputedStyle(one).color)), light(behind(one))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.tagName + '.' + one.className];
  })
  .filter(([contrast]) => contrast < 4.5))
"""


class Browser:
    """Chromium, talked to in the DevTools protocol over two pipes."""

    def __init__(self, profile: Path) -> None:
        there, write = os.pipe()
        read, back = os.pipe()
        self._write, self._read = write, read
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 20) for one in (there, back)]  # clear of 3 and 4
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{theirs[0]} 4>&{theirs[1]}', CHROMIUM, *options, "about:blank"],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for one in (there, back, *theirs):
            os.close(one)
        self.events: list[dict] = []
        self._received, self._count, self._session = b"", 0, {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def evaluate(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str, width: int, scheme: str) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not self.named("Page.loadEventFired"):
            self.events.append(self._message())

    def named(self, *names: str) -> list[dict]:
        return [event["params"] for event in self.events if event.get("method") in names]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def _message(self) -> dict:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"chromium said nothing for {SECONDS} s"
            received = os.read(self._read, 1 << 16)
            assert received, "chromium has ended"
            self._received += received
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The report of a run with long names, pictures, a warning and everything else."""
    samples = [runs.gallery_entry(name, (*runs.NAMES[:2], LONG, "bad")) for name in ("one", LONG)]
    results = runs.make_results(
        means={"good": 0.7, "other": 0.6, LONG: 0.5, "bad": 0.3},
        gallery=samples,
        uncommitted_changes=True,
        command=f"python eval.py --test_data_path /{LONG}/{LONG}",
        versions={LONG: LONG},
    )
    folder = runs.write_run(tmp_path_factory.mktemp("run"), results)
    means = {"good": 0.7, "other": 0.6, LONG: 0.5, "bad": 0.3}
    write_records(runs.make_records(means=means), folder / "per_sample.csv")
    write_report(folder)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_width_asks_for_nothing_and_is_readable(browser, url, width, scheme):
    browser.open(url, width, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width  # a phone's innerWidth grows with the page
    assert browser.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    asked = {event["request"]["url"].split(",")[0] for event in browser.named("Network.requestWillBeSent")}
    players = {"data:audio/mpeg;base64", "data:image/svg+xml;base64"}  # the browser's own buttons
    assert asked <= {url, "data:image/jpeg;base64", *players, "data:"}
    assert browser.named("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown") == []
    assert json.loads(browser.evaluate(FAINT)) == []
    assert browser.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def test_the_keyboard_reaches_the_skip_link_first_and_every_sample(browser, url):
    browser.open(url, 1280, "light")
    reached = []
    for _ in range(400):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.evaluate("document.activeElement.className || document.activeElement.tagName"))
        if reached.count("sample") == 2:
            break
    assert reached[0] == "skip"
    assert reached.count("sample") == 2
    assert {"SUMMARY", "A", "scroll"} <= set(reached)


SET = """
(() => { const one = document.querySelector('#sample-filters [name=NAME]');
  one.value = 'VALUE'; one.dispatchEvent(new Event('input')); })()
"""
SHOWN = "[...document.querySelectorAll('#sample-table tbody tr:not([hidden]) th')].map((one) => one.textContent)"


def test_samples_are_sorted_and_filtered(browser, url):
    browser.open(url, 1280, "light")

    def choose(name: str, value: str) -> list[str]:
        browser.evaluate(SET.replace("NAME", name).replace("VALUE", value))
        return browser.evaluate(SHOWN)

    assert browser.evaluate(SHOWN) == [f"scene_{i:04}" for i in range(24)]
    assert choose("category", "thing 1") == [f"scene_{i:04}" for i in (1, 8, 15, 22)]
    assert choose("scenario", "single") == ["scene_0001", "scene_0015"]
    assert browser.evaluate("document.querySelector('#sample-filters output').textContent") == "2 of 24 samples"
    assert choose("text", "0015") == ["scene_0015"]
    assert choose("text", "nothing of that kind") == []
    for name in ("text", "category", "scenario"):
        choose(name, "")
    choose("method", "3")
    wrong = [f"scene_{i:04}" for i, iou in enumerate(runs.spread(0.7, 20)) if round(20 * iou) < 10]
    assert 0 < len(wrong) < 20
    assert [name for name in choose("answer", "wrong") if name < "scene_0020"] == wrong
    heads = "[...document.querySelectorAll('#sample-table thead th:not([hidden])')].map((one) => one.textContent)"
    assert browser.evaluate(heads) == ["sample", "category", "scenario", "good"]
    column = (
        "[...document.querySelectorAll('#sample-table tbody tr')].map((row) => parseFloat(row.cells[3].textContent))"
    )
    for sign in (1, -1):
        browser.evaluate("document.querySelectorAll('#sample-table th button')[3].click()")
        assert (found := [sign * one for one in browser.evaluate(column)]) == sorted(found)


def test_a_picture_is_enlarged_by_a_click_and_the_keyboard_leads_on(browser, url):
    browser.open(url, 360, "light")
    browser.evaluate("document.querySelectorAll('.pictures img')[1].click()")
    large = "document.querySelector('dialog img')"
    assert browser.evaluate(f"{large}.alt") == "Ground truth of one: dog"
    assert browser.evaluate(f"{large}.getBoundingClientRect().width") > 300
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    assert browser.evaluate(f"{large}.alt").startswith("Answer of good for one")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Escape", code="Escape", windowsVirtualKeyCode=27)
    assert not browser.evaluate("document.querySelector('dialog').open")


def test_a_sound_can_be_played(browser, url):
    browser.open(url, 1280, "light")
    wait = """new Promise((done) => { const one = document.querySelector('audio'); one.preload = 'auto';
      one.onloadedmetadata = () => done(one.duration); one.onerror = () => done(one.error.message); one.load(); })"""
    found = browser.call("Runtime.evaluate", expression=wait, awaitPromise=True, returnByValue=True)["result"]["value"]
    assert found == pytest.approx(0.25, abs=0.1)  # an MP3 is padded to whole frames
