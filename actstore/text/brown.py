"""The Brown corpus in the tagged form in which NLTK ships it.

Owns the way from its `word/tag` tokens to natural text with word spans, and the table from
Brown's tags to universal parts of speech. The latter are derived, not gold: Brown does not tell
auxiliaries from main verbs or determiners from pronouns, so the neighbouring tags decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from actstore.errors import CorpusError
from actstore.text.documents import CorpusDocument, CorpusWord

_NAME = re.compile(r"c[a-r]\d\d")
_UPOS = {
    tag: upos
    for upos, tags in {
        "ADJ": "jj jjr jjs jjt od ap",
        "ADP": "in rp",
        "ADV": "rb rbr rbt rn ql qlp wrb wql",
        "AUX": "be bed bedz beg bem ben ber bez md",
        "CCONJ": "cc",
        "DET": "at abl abn abx",
        "INTJ": "uh",
        "NOUN": "nn nns nr nrs",
        "NUM": "cd",
        "PART": "to *",
        "PRON": "pn pp pps ppss ppo ppl ppls wps wpo wp ex",
        "PROPN": "np nps",
        "PUNCT": ". , : ( ) -- ' `` ''",
        "SCONJ": "cs",
        "VERB": "vb vbd vbg vbn vbz",
        "X": "nil",
    }.items()
    for tag in tags.split()
}
_HAVE = {"hv", "hvd", "hvz", "hvg", "hvn"}
_DO = {"do", "dod", "doz"}
_DETERMINERS = {"dt", "dti", "dts", "dtx", "wdt"}
_PARTICIPLES = {"vbn", "ben", "hvn"}
_INFINITIVES = {"vb", "be", "hv", "do"}
_BETWEEN = {"*", "rb", "rbr", "ql", "pps", "ppss", "ppo", "pn", "dt", "dts", "ex", "at", "np", "nn", "nns", "nps", "jj", "pp$"}
_ADVERBS = {"*", "rb", "rbr", "ql"}
_MODIFIERS = {"jj", "jjr", "jjt", "jjs", "ap", "cd", "od", "ql", "rb", "vbg", "vbn", "at"}
_NOUNS = {"nn", "nns", "nr", "nrs", "np", "nps"}
_QUOTES = {"``": '"', "''": '"'}
_CLOSING = {".", ",", ";", ":", "?", "!", ")", "]", "}", "''", "'"}
_OPENING = {"(", "[", "{", "``", "`"}


def is_brown_name(name: str) -> bool:
    """Whether a file is named as the corpus names its files: ca01, …, cr09."""
    return _NAME.fullmatch(name) is not None


def parse(name: str, text: str) -> CorpusDocument:
    """One file of the corpus.

    Sentences of a paragraph are joined by a space, paragraphs by a newline; quotation marks are
    written as one character and punctuation stands where print has it.

    Raises
    ------
    CorpusError
        If a token has no tag, or one that Brown does not have.
    """
    parts: list[str] = []
    sentences: list[tuple[CorpusWord, ...]] = []
    length = 0
    paragraph_ended = False
    for line in text.split("\n"):
        tokens = [_split(name, token) for token in line.split()]
        if not tokens:
            paragraph_ended = True
            continue
        if parts:
            parts.append("\n" if paragraph_ended else " ")
            length += 1
        paragraph_ended = False
        sentence, spans = _detokenized([word for word, _ in tokens])
        upos = _upos(name, [tag for _, tag in tokens])
        sentences.append(tuple(CorpusWord(length + a, length + b, u) for (a, b), u in zip(spans, upos, strict=True)))
        parts.append(sentence)
        length += len(sentence)
    return CorpusDocument(name, "".join(parts), tuple(sentences))


def _split(name: str, token: str) -> tuple[str, str]:
    word, slash, tag = token.rpartition("/")
    if not (slash and word and tag):
        raise CorpusError(f"{name}: {token!r} is not word/tag, so this is no tagged file of the Brown corpus")
    return word, tag.lower()


def _detokenized(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The words as print has them, and the span of each."""
    text = ""
    spans = []
    previous = ""
    for word in words:
        if text and word not in _CLOSING and previous not in _OPENING:
            text += " "
        form = _QUOTES.get(word, word)
        spans.append((len(text), len(text) + len(form)))
        text += form
        previous = word
    return text, spans


def _upos(name: str, tags: Sequence[str]) -> list[str]:
    bases = [_base(tag) for tag in tags]
    return [_one(name, bases, i, tags[i]) for i in range(len(tags))]


def _base(tag: str) -> str:
    """The tag of the first part of a contraction, without marks of titles, headlines and citations."""
    first = re.sub(r"-(tl|hl|nc)", "", tag).partition("+")[0]
    return first if first in _UPOS else first.removesuffix("*").removesuffix("$").removesuffix("$")


def _one(name: str, bases: Sequence[str], i: int, tag: str) -> str:
    base = bases[i]
    if base.startswith("fw-"):
        return "X"
    if base in _NOUNS and "-tl" in tag:
        return "PROPN"
    if base in _HAVE:
        return "AUX" if _follows(bases, i, _PARTICIPLES) else "VERB"
    if base in _DO:
        return "AUX" if "*" in tag or _follows(bases, i, _INFINITIVES) else "VERB"
    if base in _DETERMINERS:
        return "DET" if _opens_a_noun_phrase(bases, i) else "PRON"
    if base not in _UPOS:
        raise CorpusError(f"{name}: {tag!r} is no tag of the Brown corpus")
    return _UPOS[base]


def _follows(bases: Sequence[str], i: int, wanted: set[str]) -> bool:
    """Whether a verb form comes next, over negation and adverbs, and over a subject where the clause is inverted."""
    inverted = i == 0 or bases[i - 1] in {"wrb", "wps", "wpo", "wdt", "``", ",", "cc", "wql"}
    skipped = _BETWEEN if inverted else _ADVERBS
    for base in bases[i + 1 :]:
        if base in wanted:
            return True
        if base not in skipped:
            return False
    return False


def _opens_a_noun_phrase(bases: Sequence[str], i: int) -> bool:
    for base in bases[i + 1 :]:
        if base in _NOUNS:
            return True
        if base not in _MODIFIERS or base == "at":
            return False
    return False
