"""Subject–verb agreement by templates: the minimal pairs of Marvin and Linzen (2018), made again from their words.

Owns the words and the 15 constructions. The originals are published as pickles alone, which nobody should open; the sentences
here are the same, in lower case and without a full stop, as theirs are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

PHENOMENON = "subject-verb agreement"


class _Word(NamedTuple):
    """The form with a singular subject or number, and the form with a plural one."""

    singular: str
    plural: str

    def form(self, is_plural: bool) -> str:
        return self.plural if is_plural else self.singular


def _nouns(names: str) -> tuple[_Word, ...]:
    return tuple(_Word(name.replace("_", " "), f"{name}s".replace("_", " ")) for name in names.split())


def _be(rest: str) -> _Word:
    return _Word(f"is {rest}", f"are {rest}")


def _verb(plural: str, rest: str = "") -> _Word:
    return _Word(f"{plural}s {rest}".strip(), f"{plural} {rest}".strip())


_SUBJECTS = _nouns("author pilot surgeon farmer manager customer officer teacher senator consultant")
_THINGS = _nouns("movie book game song picture painting novel poem show")
_OTHERS = _nouns("guard chef architect skater dancer minister taxi_driver assistant executive parent")
_SPEAKERS = _nouns("mechanic banker")
_SAYING = ("said", "thought", "knew")
_LIKING = tuple(map(_verb, ("like", "admire", "hate", "love")))
_OF_PEOPLE = (*map(_verb, ("laugh", "swim", "smile")), *map(_be, ("tall", "old", "young", "short")))
_OF_THINGS = (
    *map(_be, ("good", "bad", "new", "popular", "unpopular")),
    _verb("bring", "joy to people"),
    _verb("interest", "people"),
)
_LONG = (
    _verb("know", "many different foreign languages"),
    _verb("like", "to watch television shows"),
    _be("twenty three years old"),
    _verb("enjoy", "playing tennis with colleagues"),
    _verb("write", "in a journal every day"),
)
_PLACES = ("next to", "behind", "in front of", "near", "to the side of", "across from")
_SOURCES = ("from", "by")
_NUMBERS = (True, False)
Pair = tuple[str, str]


def _simple(start: str = "") -> Iterator[Pair]:
    """`the author laughs`, after a start."""
    for noun, is_plural, verb in product(_SUBJECTS, _NUMBERS, _OF_PEOPLE):
        stem = f"{start}the {noun.form(is_plural)} "
        yield stem + verb.form(is_plural), stem + verb.form(not is_plural)


def _sentential_complements() -> Iterator[Pair]:
    """`the banker said the author laughs`."""
    for speaker, is_plural, verb in product(_SPEAKERS, _NUMBERS, _SAYING):
        yield from _simple(f"the {speaker.form(is_plural)} {verb} ")


def _coordinations(verbs: tuple[_Word, ...]) -> Iterator[Pair]:
    """`the author laughs and swims`."""
    for noun, is_plural, first, second in product(_SUBJECTS, _NUMBERS, verbs, verbs):
        if first != second:
            stem = f"the {noun.form(is_plural)} {first.form(is_plural)} and "
            yield stem + second.form(is_plural), stem + second.form(not is_plural)


def _subject_relatives() -> Iterator[Pair]:
    """`the author that likes the guards laughs`."""
    for noun, is_plural, liking, other, verb in product(_SUBJECTS, _NUMBERS, _LIKING, _both(_OTHERS), _OF_PEOPLE):
        stem = f"the {noun.form(is_plural)} that {liking.form(is_plural)} the {other} "
        yield stem + verb.form(is_plural), stem + verb.form(not is_plural)


def _phrases(nouns: tuple[_Word, ...], verbs: tuple[_Word, ...], places: tuple[str, ...]) -> Iterator[Pair]:
    """`the author next to the guards laughs`."""
    for noun, is_plural, place, other, verb in product(nouns, _NUMBERS, places, _both(_OTHERS), verbs):
        stem = f"the {noun.form(is_plural)} {place} the {other} "
        yield stem + verb.form(is_plural), stem + verb.form(not is_plural)


def _object_relatives(nouns: tuple[_Word, ...], verbs: tuple[_Word, ...], that: str, is_within: bool) -> Iterator[Pair]:
    """`the author that the guards like laughs`: the verb within the clause is wrong, or the one across it."""
    for noun, is_plural, other, of_other, liking, verb in product(nouns, _NUMBERS, _OTHERS, _NUMBERS, _LIKING, verbs):
        stem = f"the {noun.form(is_plural)} {that}the {other.form(of_other)} "
        good = f"{stem}{liking.form(of_other)} {verb.form(is_plural)}"
        bad_within = f"{stem}{liking.form(not of_other)} {verb.form(is_plural)}"
        bad_across = f"{stem}{liking.form(of_other)} {verb.form(not is_plural)}"
        yield good, bad_within if is_within else bad_across


def _both(nouns: tuple[_Word, ...]) -> tuple[str, ...]:
    return tuple(noun.form(is_plural) for noun in nouns for is_plural in _NUMBERS)


def _of_object_relatives() -> Iterator[tuple[str, Callable[[], Iterator[Pair]]]]:
    kinds = {"anim": (_SUBJECTS, _OF_PEOPLE), "inanim": (_THINGS, _OF_THINGS)}
    for (that, name), is_within, (kind, (nouns, verbs)) in product(
        (("that ", ""), ("", "no_comp_")), (False, True), kinds.items()
    ):
        where = "within" if is_within else "across"
        yield f"obj_rel_{name}{where}_{kind}", partial(_object_relatives, nouns, verbs, that, is_within)


CONSTRUCTIONS: dict[str, Callable[[], Iterator[Pair]]] = {
    "simple_agrmt": _simple,
    "sent_comp": _sentential_complements,
    "vp_coord": lambda: _coordinations(_OF_PEOPLE),
    "long_vp_coord": lambda: _coordinations(_LONG),
    "subj_rel": _subject_relatives,
    "prep_anim": lambda: _phrases(_SUBJECTS, _OF_PEOPLE, _PLACES),
    "prep_inanim": lambda: _phrases(_THINGS, _OF_THINGS, _SOURCES),
    **dict(_of_object_relatives()),
}
"""Construction, by its name in the original → its pairs of a good and a bad sentence.

References: Marvin and Linzen (2018), "Targeted Syntactic Evaluation of Language Models".
"""
