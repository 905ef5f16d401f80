"""How far down the pages of a PDF by Chromium are filled, read from the text that is drawn on them."""

from __future__ import annotations

import re
import zlib

_OBJECT = re.compile(rb"(\d+) 0 obj(.*?)endobj", re.DOTALL)
_TOKEN = re.compile(rb"\[[^\]]*\]|<[^>]*>|\((?:\\.|[^\\)])*\)|[^\s<>\[\]()]+")


def filled(pdf, margin=0.06):
    """Of every page, which share of its height lies above its lowest line of text; a margin at the foot is left out."""
    objects = {int(number): body for number, body in _OBJECT.findall(pdf)}
    pages = [body for body in objects.values() if re.search(rb"/Type\s*/Page\b(?!s)", body)]
    return [_filled(page, objects, margin) for page in pages]


def _filled(page, objects, margin):
    height = float(re.search(rb"/MediaBox\s*\[\s*\S+\s+\S+\s+\S+\s+([\d.]+)", page)[1])
    content = _stream(objects[int(re.search(rb"/Contents\s+(\d+)", page)[1])])
    lines = [y for y in _baselines(content) if y > margin * height]
    return 1 - min(lines, default=height) / height


def _stream(body):
    data = body.partition(b"stream")[2].lstrip(b"\r\n").rpartition(b"endstream")[0]
    return zlib.decompress(data) if b"/FlateDecode" in body else data


def _baselines(content):
    """Heights of all text above the foot of the page: the current matrix times that of the text."""
    matrix, saved, numbers, text = (1, 0, 0, 1, 0, 0), [], [], None
    for token in _TOKEN.findall(content):
        if token == b"q":
            saved.append(matrix)
        elif token == b"Q":
            matrix = saved.pop()
        elif token == b"cm":
            matrix = _times(numbers[-6:], matrix)
        elif token == b"Tm":
            text = _times(numbers[-6:], matrix)
        elif token in (b"Tj", b"TJ") and text is not None:
            yield text[5]
        numbers = [*numbers, float(token)] if re.fullmatch(rb"-?\d*\.?\d+", token) else []


def _times(first, second):
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)
