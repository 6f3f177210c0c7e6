"""A page in a browser: drop or record a picture, a sound or a video; see what sounds, and how that was found.

Drawn by Gradio (https://www.gradio.app), which requirements-page.txt installs. One question is answered at a time.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from utils.errors import UserError
from utils.trails import describe_trail
from utils.types import Answer

MOST_BYTES = 100_000_000  # of a file that is dropped
WAITING = 16  # questions at a time; whoever comes later is told to try again
QUEUE = "networks"  # that pictures and videos share: Gradio has one for each button else
KEPT = 3600  # seconds that dropped files stay
LOCAL_FONTS = {"font": ("system-ui", "sans-serif"), "font_mono": ("monospace",)}  # a page that asks no other server
STYLE = """
.found .grid-wrap {max-height: none !important}
.trail table {border-collapse: collapse; width: 100%; margin-bottom: 1em}
.trail table, .trail tr, .trail td {border: 0 !important}
.trail td {padding: .15em .6em .15em 0 !important; vertical-align: top}
.trail td:first-child {opacity: .7; width: 6em}
.trail i {background: var(--color-accent); display: inline-block; height: .6em; border-radius: .3em; margin-right: .4em}
"""


def build(
    about: str,
    methods: Mapping[str, str],
    chosen: Sequence[str],
    examples: Sequence[tuple[Path, Path]],
    ask: Callable[[str, str, Sequence[str]], Mapping[str, Answer]],
    ask_video: Callable[[str, str, Path], Path],
) -> gr.Blocks:
    """Lays out the page.

    Args:
        about: a sentence on the networks.
        methods: name -> what it does, in a line.
        chosen: the methods that are ticked at first.
        examples: pictures and their sounds, one click away.
        ask: path of a picture, path of a sound and names of methods -> their answers.
        ask_video: path of a video, name of a method and a folder -> path of a video in it with what sounds outlined.
    """

    def answer(image: str | None, sound: str | None, names: Sequence[str]) -> tuple[list, str]:
        for given, what in ((image, "picture"), (sound, "sound"), (names, "method")):
            if not given:
                raise _error(f"expected a picture, a sound and a method, found no {what}; add one")
        found = _told(lambda: ask(image, sound, names), image, sound)
        return [(one.overlay, _title(one)) for one in found.values()], "".join(map(_story, found.values()))

    def answer_video(video: str | None, name: str) -> str:
        if not video:
            raise _error("expected a video, found none; drop or record one")
        with tempfile.TemporaryDirectory(dir=Path(video).parent) as folder:  # where Gradio keeps what is dropped
            made = _told(lambda: ask_video(video, name, Path(folder)), video)
            return str(made.replace(Path(video).parent / made.name))

    listed = [(f"{name}: {what.partition(': ')[2] or what}", name) for name, what in methods.items()]
    with gr.Blocks(title="Which thing makes this sound?", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as page:
        gr.Markdown(f"# Which thing in this picture makes this sound?\n\n{about}")
        with gr.Tab("Picture and sound"):
            with gr.Row():
                with gr.Column():
                    image = _as_it_came(gr.Image(type="filepath", label="Picture", height=320, buttons=["fullscreen"]))
                    sound = gr.Audio(type="filepath", label="Sound", buttons=[])
                    names = gr.CheckboxGroup(listed, value=list(chosen), label="Methods")
                    button = gr.Button("What makes this sound?", variant="primary")
                with gr.Column():
                    buttons = ["download", "fullscreen"]
                    shape = {"columns": 1, "height": "auto", "object_fit": "contain", "elem_classes": "found"}
                    pictures = gr.Gallery(label="Found", format="png", buttons=buttons, **shape)
                    story = gr.HTML(elem_classes="trail")
            gr.Examples([[str(path) for path in pair] for pair in examples], [image, sound])
            button.click(answer, [image, sound, names], [pictures, story], api_name="ask", concurrency_id=QUEUE)
        with gr.Tab("Video"), gr.Row():
            with gr.Column():
                video = gr.Video(label="Video, with its sound", height=320, buttons=[])
                name = gr.Dropdown(listed, value=chosen[0], label="Method")
                start = gr.Button("What sounds, and when?", variant="primary")
            drawn = gr.Video(label="Found", height=420, buttons=["download"])
            start.click(answer_video, [video, name], drawn, api_name="ask_video", concurrency_id=QUEUE)
    return page.queue(max_size=WAITING, default_concurrency_limit=1)


def serve(page: gr.Blocks, host: str, port: int, *, prevent_thread_lock: bool = False) -> str:
    """Serves the page until it is interrupted; to this machine alone where the host is 127.0.0.1.

    Args:
        host: an address of this machine; 0.0.0.0 for whoever reaches it.
        port: a free one.
        prevent_thread_lock: return at once, and go on serving.

    Returns:
        The page's address.

    Raises:
        UserError: the port is taken, or the host is no address of this machine.
    """
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            max_file_size=MOST_BYTES,
            theme=gr.themes.Default(**LOCAL_FONTS),
            css=STYLE,
            footer_links=[],
            show_error=True,
            share=False,
            ssr_mode=False,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        why = "the port is taken, or this machine has no such address"  # Gradio's own words are for programmers
        raise UserError(f"cannot serve on {host}, port {port}: {why}; take another --host or --port") from error
    print(f"serving at {address} until Ctrl-C", flush=True)
    if not prevent_thread_lock:
        page.block_thread()
    return address


def _told(ask: Callable[[], Any], *paths: str) -> Any:
    """An answer; a fault in what was given is told without the places where files lie on this machine."""
    try:
        return ask()
    except UserError as error:
        said = str(error)
        for path in paths:
            said = said.replace(path, Path(path).name)
        raise _error(said) from None


def _error(said: str) -> gr.Error:
    """A sentence on the page, which stays; in the terminal, no traceback."""
    return gr.Error(html.escape(said, quote=False), duration=None, print_exception=False)  # it takes HTML


def _as_it_came(image: gr.Image) -> gr.Image:
    """Hands the dropped file over; Gradio would open and rewrite it, and tell of a broken one where it lies here."""
    own = image.preprocess
    image.preprocess = lambda given: given.path if given and given.path else own(given)
    return image


def _title(answer: Answer) -> str:
    found = f"{answer.mask.mean():.1%} of the picture" if answer.mask.any() else "nothing found"
    return f"{answer.method}: {found}"


def _story(answer: Answer) -> str:
    """A table: heard, seen, asked, and what was weighed with a bar each."""
    told = {key: value for key, value in answer.trail.items() if key not in ("candidates", "seconds")}
    rows = [(label, html.escape(text)) for label, text in (*describe_trail(told), *answer.near_miss.items())]
    for number, candidate in enumerate(answer.trail.get("candidates") or ()):
        bar = f'<i style="width: {6 * min(max(candidate["score"], 0), 1):.2f}em"></i>{candidate["score"]:.3f}'
        rows.append(("" if number else "weighed", f"{bar} {html.escape(candidate['text'])}"))
    lines = "".join(f"<tr><td>{html.escape(label)}</td><td>{text}</td></tr>" for label, text in rows)
    return f"<table><tr><td colspan=2><b>{html.escape(_title(answer))}</b></td></tr>{lines}</table>"
