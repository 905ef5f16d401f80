"""Readers that hold a whole file; the readers of `actstore`, which read line by line, must agree with them."""

from __future__ import annotations

import itertools
import re

from actstore.text.documents import UNKNOWN_DEPTH, CorpusDocument, CorpusWord

HEADING = re.compile(r"^ = [^\n]* = ?$", re.MULTILINE)
ARTICLE = re.compile(r"^ = (?!=)[^\n]* = ?$", re.MULTILINE)


def parts_of(text, boundary):
    if boundary == "article":
        starts = [match.start() for match in ARTICLE.finditer(text)]
        return [text[a:b] for a, b in itertools.pairwise([0, *starts, len(text)])]
    if boundary == "section":
        ends = [match.start() for match in HEADING.finditer(text)]
        parts = [""]
        for a, b in itertools.pairwise([0, *ends, len(text)]):
            if HEADING.sub("", parts[-1]).strip():
                parts.append("")
            parts[-1] += text[a:b]
        return parts
    return {"file": [text], "paragraph": re.split(r"\n[^\S\n]*\n", text), "line": text.split("\n")}[boundary]


def plain(name, text, boundary):
    """(name, text) of every document."""
    parts = list(enumerate(parts_of(text, boundary), 1))
    return [(name if boundary == "file" else f"{name}:{n}", part) for n, part in parts if part.strip()]


def depths(heads):
    """Quadratic: every word climbs to its root by itself."""
    result = []
    for position in range(1, len(heads) + 1):
        depth, word = 0, position
        while depth < len(heads) and 1 <= heads[word - 1] <= len(heads):
            word, depth = heads[word - 1], depth + 1
        result.append(depth if heads[word - 1] == 0 else UNKNOWN_DEPTH)
    return result


def conllu(name, text):
    """Documents of a well-formed file."""
    documents, rows = [(name, [])], []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("# newdoc"):
            documents.append((line.partition("=")[2].strip() or f"{name}:{number}", []))
        elif line.strip() and not line.startswith("#"):
            rows.append(line.split("\t"))
        elif rows and not line.startswith("#"):
            documents[-1][1].append(rows)
            rows = []
    return [assembled(title, sentences) for title, sentences in documents if sentences]


def assembled(title, sentences):
    text, spans = "", []
    for rows in sentences:
        words = [columns for columns in rows if columns[0].isdecimal()]
        heads = [int(columns[6]) if columns[6].isdecimal() else -1 for columns in words]
        depth_of = dict(zip((columns[0] for columns in words), depths(heads), strict=True))
        labelled, covered = [], {}
        for index, form, _, upos, _, _, _, deprel, _, misc in rows:
            if "." in index:
                continue
            span = (len(text), len(text) + len(form))
            if "-" in index:
                first, last = map(int, index.split("-"))
                covered = {number: (span if number == first else None) for number in range(first, last + 1)}
            elif int(index) in covered:
                if covered[int(index)]:
                    labelled.append(CorpusWord(*covered[int(index)], upos, deprel, depth_of[index]))
                continue
            else:
                labelled.append(CorpusWord(*span, upos, deprel, depth_of[index]))
            text += form if "SpaceAfter=No" in misc else form + " "
        spans.append(tuple(labelled))
    return CorpusDocument(title, text.rstrip(), tuple(spans))
