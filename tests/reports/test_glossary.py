"""The page's glossary says what the documentation's does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.glossary import GLOSSARY

DOCS = Path(__file__).parents[2] / "docs" / "glossary.md"


def documented():
    """Terms and what they mean, without marks."""
    entries = re.findall(r"^\*\*(.+?)\*\*\n: ((?:.+\n)(?:  .+\n)*)", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {term: plain(meaning) for term, meaning in entries}


def plain(text):
    """Words alone."""
    text = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text).replace("$-\\log p$", "−log p")
    text = re.sub(r": \$\\max\(a, 0\)\$|, \$\\min\(a, 0\)\$", "", text)
    return " ".join(re.sub(r"[*`]", "", text).split())


@pytest.mark.parametrize("term", list(GLOSSARY))
def test_a_term_means_the_same_in_the_documentation(term):
    assert documented()[term].startswith(GLOSSARY[term])
