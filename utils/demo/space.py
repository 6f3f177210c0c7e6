"""A folder that is a Hugging Face Space: the page, the bundled networks, and what they need.

Reference: https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from utils.errors import UserError
from utils.files import make_folder, write_text_atomic

PARTS = ("inference_demo.py", "LICENSE", "configs", "methods", "models", "utils", "datasets/examples")
LEFT_OUT = ("__pycache__", "train", "*.pyc")
CPU_ONLY = "--extra-index-url https://download.pytorch.org/whl/cpu\n"
APP = '''"""Serves the page; the host and the port are the Space's."""

import inference_demo

inference_demo.main(["--serve", "--host", "0.0.0.0", "--port", "7860"])
'''
CARD = """---
title: Which thing makes this sound?
emoji: 🔊
colorFrom: gray
colorTo: red
sdk: gradio
sdk_version: {gradio}
app_file: app.py
license: mit
short_description: Zero-shot audiovisual segmentation
---

A picture and a sound go in, the outline of what sounds comes out. Made by `python inference_demo.py --space DIR`.
"""


def write_space(root: Path, folder: Path) -> str:
    """Writes the folder.

    Args:
        root: the repository's.
        folder: is made; nothing may be there.

    Returns:
        What to do with it.

    Raises:
        UserError: the folder has files, or is in one that is copied, or Gradio is not installed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"expected an empty folder or none, found files in {folder}; name another one")
    if any(folder.resolve().is_relative_to((root / part).resolve()) for part in PARTS):
        raise UserError(f"expected a folder that is not copied itself, found {folder}; name one elsewhere")
    make_folder(folder)
    for part in PARTS:
        source, target = root / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy2(source, target)
    write_text_atomic(folder / "requirements.txt", CPU_ONLY + (root / "requirements.txt").read_text(encoding="utf-8"))
    write_text_atomic(folder / "app.py", APP)
    write_text_atomic(folder / "README.md", CARD.format(gradio=metadata.version("gradio")))
    write_text_atomic(folder / ".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    return f"hf upload --repo-type space YOUR_NAME/sounding-object {folder}"
