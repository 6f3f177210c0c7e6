"""Pictures as people have them, and how the demo should end on each."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.attacks.case import ROOT, Judge
from tests.attacks.endings import answers, either, refuses

EXAMPLES = ROOT / "datasets" / "examples"
SIZE = (240, 180)  # (width, height) of the photograph
DOG = answers(SIZE, "dog")
NOT_FINITE = "finite|infinit|not a number|nan"
Write = Callable[[Path], object]


def photo() -> Image.Image:
    """A dog on a lawn."""
    return Image.open(EXAMPLES / "image" / "farm_dog.jpg").convert("RGB").resize(SIZE)


def save(make: Callable[[], Image.Image], **options) -> Write:
    """Writes a picture in the format of the path's suffix."""
    return lambda path: make().save(path, **{name: one() if callable(one) else one for name, one in options.items()})


def put(content: bytes | Callable[[], bytes]) -> Write:
    """Writes bytes."""
    return lambda path: path.write_bytes(content() if callable(content) else content)


def encoded(make: Callable[[], Image.Image], format: str, **options) -> bytes:
    """A picture as the bytes of a file."""
    buffer = BytesIO()
    make().save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Image:
    """The photograph as a camera saves it that notes how it was held."""
    undo = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90}
    undo |= {8: Image.Transpose.ROTATE_270}
    return photo().transpose(undo[orientation])


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def grey_of(bits: type, highest: float) -> Image.Image:
    """The photograph in grey with more than 8 bits."""
    return Image.fromarray((np.asarray(photo().convert("L"), np.float64) / 255 * highest).astype(bits))


def with_a_pixel(value: float) -> Image.Image:
    pixels = np.array(grey_of(np.float32, 1))
    pixels[3, 3] = value
    return Image.fromarray(pixels)


def transparent() -> Image.Image:
    """The photograph where a corner is see-through."""
    image = photo().convert("RGBA")
    alpha = np.full(SIZE[::-1], 255, np.uint8)
    alpha[:20, :20] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


def png_with(name: bytes, content: bytes, image: Image.Image | None = None) -> bytes:
    """A picture, the photograph if none is given, as a PNG with one chunk more."""
    png = encoded(lambda: image or photo(), "PNG")
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return png[:33] + chunk + png[33:]  # behind the header


def png_that_announces(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header says it is large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = encoded(photo, "PNG")
    return png[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + png[33:200]


def webp_with_exif(content: bytes) -> bytes:
    return encoded(photo, "WEBP", exif=content)


def frames(count: int) -> list[Image.Image]:
    """What follows a first frame: another picture."""
    return [Image.new("RGB", SIZE, (40 * number, 0, 90)) for number in range(1, count)]


def shrunk(size: tuple[int, int]) -> Image.Image:
    return photo().resize(size)


SWAPPED = (SIZE[1], SIZE[0])
CUT = "truncated|cut|broken|damaged|cannot read|unrecognized"
PICTURES: dict[str, tuple[str, Write, Judge]] = {  # the sound is a bark
    "one pixel": ("dot.png", save(partial(shrunk, (1, 1))), answers((1, 1))),
    "a row of 2000 pixels": ("row.png", save(partial(shrunk, (2000, 1))), answers((2000, 1))),
    "a column of 2000 pixels": ("column.png", save(partial(shrunk, (1, 2000))), answers((1, 2000))),
    "PNG of 16 bits": ("deep.png", save(partial(grey_of, np.uint16, 65535)), DOG),
    "TIFF of 32-bit integers": ("deep.tif", save(partial(grey_of, np.int32, 60000)), answers(SIZE)),
    "TIFF of floats": ("float.tif", save(partial(grey_of, np.float32, 1)), DOG),
    "TIFF with an infinite pixel": ("far.tif", save(partial(with_a_pixel, np.inf)), refuses("far.tif", NOT_FINITE)),
    "TIFF with a pixel that is no number": (
        "no.tif",
        save(partial(with_a_pixel, np.nan)),
        refuses("no.tif", NOT_FINITE),
    ),
    "CMYK JPEG": ("print.jpg", save(lambda: photo().convert("CMYK")), DOG),
    "palette with transparency": (
        "web.png",
        save(lambda: photo().quantize(64), transparency=0),
        answers(SIZE),
    ),
    "transparent corner": ("logo.png", save(transparent), DOG),
    "grey with alpha": ("la.png", save(lambda: transparent().convert("LA")), answers(SIZE)),
    "one bit": ("fax.png", save(lambda: photo().convert("1")), answers(SIZE)),
    "animated GIF": ("dog.gif", save(photo, save_all=True, append_images=lambda: frames(3)), DOG),
    "animated WebP": ("dog.webp", save(photo, save_all=True, append_images=lambda: frames(3)), DOG),
    "two pictures in one JPEG": ("stereo.mpo", save(photo, save_all=True, append_images=lambda: frames(2)), DOG),
    "a JPEG called PNG": ("dog.png", put(lambda: encoded(photo, "JPEG")), DOG),
    "no suffix": ("IMG_0001", put(lambda: encoded(photo, "JPEG")), DOG),
    "JPEG cut short": ("cut.jpg", put(lambda: encoded(photo, "JPEG")[:-1500]), refuses(r"cut\.jpg", CUT)),
    "PNG cut short": ("cut.png", put(lambda: encoded(photo, "PNG")[:-9000]), refuses(r"cut\.png", CUT)),
    "text called JPEG": ("letter.jpg", put(b"Dear Sir or Madam,\n"), refuses(r"letter\.jpg")),
    "a web page called JPEG": ("page.jpg", put(b"<!DOCTYPE html><html>404</html>"), refuses(r"page\.jpg")),
    "SVG": ("drawing.svg", put(b'<svg xmlns="http://www.w3.org/2000/svg"/>'), refuses(r"drawing\.svg")),
    "an empty picture": ("void.png", put(b""), refuses(r"void\.png", "empty|0 bytes")),
    "a folder as the picture": ("holiday", Path.mkdir, refuses("holiday", "folder")),
    "no picture": ("gone.jpg", lambda path: None, refuses(r"gone\.jpg", "found nothing|no file|missing")),
    "a link to a picture": ("link.jpg", lambda path: path.symlink_to(EXAMPLES / "image" / "farm_dog.jpg"), answers()),
    "a link that leads nowhere": ("link.jpg", lambda path: path.symlink_to("nowhere.jpg"), refuses(r"link\.jpg")),
    "a pipe as the picture": ("pipe.jpg", os.mkfifo, refuses(r"pipe\.jpg")),
    "EXIF, upside down": ("dog.jpg", save(partial(turned, 3), exif=partial(oriented, 3)), DOG),
    "EXIF, mirrored": ("dog.jpg", save(partial(turned, 5), exif=partial(oriented, 5)), DOG),
    "EXIF, held upright": ("dog.jpg", save(partial(turned, 6), exif=partial(oriented, 6)), DOG),
    "EXIF in PNG": ("dog.png", save(partial(turned, 8), exif=partial(oriented, 8)), DOG),
    "an orientation of 99": ("dog.jpg", save(photo, exif=partial(oriented, 99)), DOG),
    "garbage for EXIF in JPEG": ("dog.jpg", save(photo, exif=b"Exif\0\0no such thing"), DOG),
    "garbage for EXIF in PNG": ("dog.png", put(lambda: png_with(b"eXIf", b"no such thing")), DOG),
    "garbage for EXIF in WebP": ("dog.webp", put(lambda: webp_with_exif(b"no such thing")), DOG),
    "EXIF cut short in PNG": (
        "dog.png",
        put(lambda: png_with(b"eXIf", oriented(6).tobytes()[6:18])),
        either(DOG, answers(SWAPPED)),
    ),
    "orientation in XMP only": ("dog.jpg", save(partial(turned, 6), xmp=partial(xmp, 6)), answers(SWAPPED)),
    "a PNG that announces 60000 x 60000": (
        "bomb.png",
        put(lambda: png_that_announces(60000, 60000)),
        refuses(r"bomb\.png"),
    ),
}
