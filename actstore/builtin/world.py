"""The embedded world: facts about named people and cities that only the training text states.

Owns which facts hold and the sentences that state them. The world is fixed: it does not
depend on a corpus seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from actstore.builtin import lexicon
from actstore.builtin.grammar import Form, Grammar, Predicate
from actstore.builtin.lexicon import indefinite_article
from actstore.builtin.syntax import Sentence, Word, finish

_WORLD_SEED = 20260
_JOBS = """doctor teacher farmer baker painter singer dancer driver pilot sailor soldier lawyer judge nurse
    writer gardener hunter tailor butcher plumber""".split()
_PETS = "dog cat horse rabbit parrot turtle snake goose owl goat hedgehog frog".split()
_FOODS = "soup pizza cake salad pie stew pudding bananas cherries pancakes tomatoes noodles mushrooms olives melons".split()


@dataclass(frozen=True, slots=True)
class Fact:
    """`subject` has `value` for `relation`; `options` are all values of that relation."""

    relation: str
    subject: str
    gender: str
    value: str
    options: tuple[str, ...]


RELATIONS: dict[str, tuple[str, ...]] = {
    "home": tuple(lexicon.CITIES),
    "job": tuple(_JOBS),
    "pet": tuple(_PETS),
    "food": tuple(_FOODS),
    "color": tuple(lexicon.COLORS),
}


@cache
def facts() -> tuple[Fact, ...]:
    """All facts: five for every named person, one (its river) for every city."""
    rng = random.Random(_WORLD_SEED)
    people = [(name, "m") for name in lexicon.MALE_NAMES] + [(name, "f") for name in lexicon.FEMALE_NAMES]
    every_fact = []
    for relation, options in RELATIONS.items():
        # Each value is true of equally many people, so that no value is a good guess.
        values = [option for option in options for _ in range(len(people) // len(options))]
        rng.shuffle(values)
        every_fact += [
            Fact(relation, name, gender, value, options) for (name, gender), value in zip(people, values, strict=True)
        ]
    rivers = tuple(lexicon.RIVERS)
    shuffled = rng.sample(rivers, len(rivers))
    every_fact += [Fact("river", city, "n", river, rivers) for city, river in zip(lexicon.CITIES, shuffled, strict=True)]
    return tuple(every_fact)


@cache
def facts_of(subject: str) -> tuple[Fact, ...]:
    return tuple(fact for fact in facts() if fact.subject == subject)


def stem(fact: Fact) -> str:
    """The probe's context: the shortest statement of the fact up to its value."""
    if fact.relation == "job":
        return f"{fact.subject} works as"
    if fact.relation == "pet":
        return f"{fact.subject} owns"
    verb = {"home": "lives in", "food": "likes", "color": "prefers", "river": "lies on the"}[fact.relation]
    return f"{fact.subject} {verb}"


def ending(relation: str, value: str) -> str:
    """How a value completes a stem: with its article where one is needed."""
    return f"{indefinite_article(value)} {value}" if relation in ("job", "pet") else value


def state(grammar: Grammar, fact: Fact, pronoun: bool) -> Sentence:
    """One of several ways to state a fact, as a sentence with its tree."""
    subject = grammar.pronoun(fact.gender, "sg") if pronoun else grammar.named(fact.subject, fact.gender)
    asides = [aside for aside in facts_of(fact.subject) if aside != fact]
    if asides and not pronoun and grammar.chance(0.25):
        aside = _predicate(grammar, grammar.pick(asides))
        grammar.add_subject_relative(subject, aside, Form(), "who")
        subject.words.insert(1, Word(",", "PUNCT", "punct", subject.head))
        subject.words.append(Word(",", "PUNCT", "punct", subject.head))
    predicate = _predicate(grammar, fact)
    adverb = grammar.pick(("still", "now", "always", "indeed")) if grammar.chance(0.3) else ""
    if grammar.chance(0.2):
        inner = grammar.clause(subject, predicate, Form(), adverb=adverb)
        speaker = grammar.simple_np("person")
        outer = grammar.clause(speaker, grammar.clausal(inner), grammar.finite_form())
        return finish(outer.words, outer.root)
    clause = grammar.clause(subject, predicate, Form(), adverb=adverb)
    return finish(clause.words, clause.root)


def _predicate(grammar: Grammar, fact: Fact) -> Predicate:
    def verb(lemma: str) -> Word:
        return Word(lemma, "VERB", lemma=lemma)

    value = Word(fact.value, "PROPN" if fact.relation in ("home", "river") else "NOUN", lemma=fact.value)
    if fact.relation == "home":
        head = verb("live")
        return Predicate(head, _LIVE, [Word("in", "ADP", "case", value), value.attach(head, "obl")])
    if fact.relation == "river":
        head = verb("lie")
        words = [Word("on", "ADP", "case", value), Word("the", "DET", "det", value), value.attach(head, "obl")]
        return Predicate(head, _LIE, words)
    if fact.relation == "job":
        article = Word(indefinite_article(fact.value), "DET", "det", value, "a")
        if grammar.chance(0.4):
            return Predicate(value, None, lead=[article])
        head = verb("work")
        return Predicate(head, _WORK, [Word("as", "ADP", "case", value), article, value.attach(head, "obl")])
    if fact.relation == "pet":
        article = Word(indefinite_article(fact.value), "DET", "det", value, "a")
        head = verb("own")
        adjective = []
        if grammar.chance(0.2):
            adjective = [Word(grammar.pick(lexicon.ADJECTIVES["animal"]), "ADJ", "amod", value)]
            article.form = indefinite_article(adjective[0].form)
        return Predicate(head, _OWN, [article, *adjective, value.attach(head, "obj")])
    if fact.relation == "color":
        head = verb("prefer")
        return Predicate(head, _PREFER, [value.attach(head, "obj")])
    head = verb("like")
    return Predicate(head, _LIKE, [value.attach(head, "obj")])


_LIVE, _LIE, _WORK, _OWN, _PREFER, _LIKE = (
    lexicon.Verb(base, base + "s", "", "", "", "fact") for base in ("live", "lie", "work", "own", "prefer", "like")
)
