"""The Brown corpus in the tagged form in which NLTK distributes it.

Owns the conversion of its `word/tag` tokens to natural text with word spans, and of Brown's tags to
universal parts of speech. These are derived, not gold: Brown's tags do not distinguish auxiliaries
from main verbs or determiners from pronouns, so the neighbouring tags decide.
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
    """Whether a file has a name of the corpus: ca01, …, cr09."""
    return _NAME.fullmatch(name) is not None


def parse(name: str, text: str) -> CorpusDocument:
    """Read a file of the corpus.

    Sentences of a paragraph are joined by a space, paragraphs by a newline. A quotation mark is one
    character, and punctuation is spaced as in print.

    Raises
    ------
    CorpusError
        If a token has no tag, or a tag that is not Brown's.
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
    """The words spaced as in print, and the span of each."""
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
    return [_upos_of(name, bases, i, tags[i]) for i in range(len(tags))]


def _base(tag: str) -> str:
    """The tag of the first part of a contraction, without the suffixes of titles, headlines and citations."""
    base = re.sub(r"-(tl|hl|nc)", "", tag).partition("+")[0]
    return base if base in _UPOS else base.removesuffix("*").removesuffix("$").removesuffix("$")


def _upos_of(name: str, bases: Sequence[str], i: int, tag: str) -> str:
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


def _follows(bases: Sequence[str], i: int, verb_forms: set[str]) -> bool:
    """Whether a verb form follows, after negation and adverbs, and after the subject of an inverted clause."""
    is_inverted = i == 0 or bases[i - 1] in {"wrb", "wps", "wpo", "wdt", "``", ",", "cc", "wql"}
    skipped = _BETWEEN if is_inverted else _ADVERBS
    for base in bases[i + 1 :]:
        if base in verb_forms:
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
