"""Documents of the embedded language: sentences about the same referents, by seed.

Owns discourse (who is mentioned how), which constructions occur how often, and the split of
all sentences into disjoint parts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from actstore.builtin import lexicon, world
from actstore.builtin.grammar import Form, Grammar, Predicate, verb_form
from actstore.builtin.lexicon import Noun
from actstore.builtin.syntax import Clause, NounPhrase, Sentence, Word, finish

Part = Literal["train", "extraction", "evaluation"]
_PART_OF_BUCKET: tuple[Part, ...] = ("train",) * 7 + ("extraction",) * 2 + ("evaluation",)
_MAX_TRIES = 40


def part_of(text: str) -> Part:
    """The part that a sentence belongs to, by a hash of its lower-cased text.

    A sentence belongs to one part for ever. So corpora of different parts never share a
    sentence, and no model was trained on minimal pairs drawn from `evaluation`.
    """
    digest = hashlib.blake2b(text.lower().encode(), digest_size=4).digest()
    return _PART_OF_BUCKET[int.from_bytes(digest, "big") % len(_PART_OF_BUCKET)]


@dataclass(frozen=True, slots=True)
class Document:
    """Sentences in order; their texts are joined by one space."""

    name: str
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)


@dataclass(slots=True)
class _Referent:
    gender: str
    number: str
    name: str = ""
    noun: Noun | None = None
    is_introduced: bool = False


class _Discourse:
    """Remembers the referents of one document and how each may be mentioned next."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.referents = [self._referent() for _ in range(grammar.pick((2, 2, 3)))]
        self.topic: _Referent | None = None

    def _referent(self) -> _Referent:
        g = self.grammar
        if g.chance(0.45):
            gender = g.pick("mf")
            return _Referent(gender, "sg", name=g.name(gender).head.form)
        noun = g.pick(lexicon.NOUNS["person"])
        return _Referent(noun.gender, g.number(), noun=noun)

    def subject(self, kind: str = "person") -> NounPhrase:
        """A subject: a referent of the document two times in three."""
        g = self.grammar
        if kind != "person" or g.chance(0.35):
            self.topic = None
            if kind == "person" and g.chance(0.2):
                return g.coordinate(self._fresh(), self._fresh())
            return g.speaker() if kind == "person" and g.chance(0.08) else g.subject(kind)
        referent = g.pick(self.referents)
        pronoun = referent is self.topic and referent.gender != "n" and g.chance(0.6)
        self.topic = referent
        if pronoun:
            return g.pronoun(referent.gender, referent.number)
        return self._full(referent)

    def _fresh(self) -> NounPhrase:
        return self.grammar.name() if self.grammar.chance(0.5) else self.grammar.simple_np("person", modifiers=0.5)

    def _full(self, referent: _Referent) -> NounPhrase:
        g = self.grammar
        if referent.noun is None:
            return g.named(referent.name, referent.gender)
        if referent.is_introduced:
            return g.subject(noun=referent.noun, number=referent.number, determiner="the")
        referent.is_introduced = True
        determiner = "a" if referent.number == "sg" else g.pick(("some", "num", ""))
        return g.subject(noun=referent.noun, number=referent.number, determiner=determiner)


# -- constructions: each takes the grammar and the discourse and returns a sentence ------------

_Construction = Callable[[Grammar, _Discourse], Sentence]


def _plain(g: Grammar, clause: Clause, mark: str = ".") -> Sentence:
    words = clause.words
    if clause.subject.kind == "person" and g.chance(0.06):
        place = g.simple_np("place", determiner="the", modifiers=0.3)
        place.words.insert(0, Word(g.pick(("in", "near", "behind")), "ADP", "case", place.head))
        place.head.attach(clause.root, "obl")
        words = [*place.words, Word(",", "PUNCT", "punct", clause.root), *words]
    return finish(words, clause.root, mark)


def _intransitive(g: Grammar, d: _Discourse) -> Sentence:
    kind = g.pick(("person", "person", "animal"))
    adverb = g.pick(lexicon.FREQUENCY) if g.chance(0.15) else ""
    form = Form() if adverb else g.finite_form()
    return _plain(g, g.clause(d.subject(kind), g.intransitive(), form, adverb=adverb))


def _transitive(g: Grammar, d: _Discourse) -> Sentence:
    predicate = g.transitive()
    g.add_adjunct(predicate, 0.15)
    return _plain(g, g.clause(d.subject(), predicate))


def _dated(g: Grammar, d: _Discourse) -> Sentence:
    predicate = g.transitive() if g.chance(0.5) else g.intransitive()
    clause = g.clause(d.subject(), predicate, Form("past", negated=g.chance(0.15)))
    clause.words.append(Word(g.pick(lexicon.TIME_PAST), "ADV", "advmod", clause.root))
    return _plain(g, clause)


def _unaccusative(g: Grammar, d: _Discourse) -> Sentence:
    return _plain(g, g.clause(d.subject("object"), g.intransitive(frame="unaccusative")))


def _ditransitive(g: Grammar, d: _Discourse) -> Sentence:
    return _plain(g, g.clause(d.subject(), g.ditransitive()))


def _adjectival(g: Grammar, d: _Discourse) -> Sentence:
    kind = g.weighted([("person", 6), ("object", 2), ("place", 2), ("food", 1), ("info", 1), ("animal", 1.5)])
    return _plain(g, g.clause(d.subject(kind), g.adjectival(kind)))


def _nominal(g: Grammar, d: _Discourse) -> Sentence:
    subject = d.subject()
    return _plain(g, g.clause(subject, g.nominal(subject.number), g.finite_form()))


def _clausal(g: Grammar, d: _Discourse) -> Sentence:
    if g.chance(0.35):
        inner = reflexive_clause(g, g.gendered())
        return _plain(g, g.clause(d.subject(), g.clausal(inner)))
    return _plain(g, g.clause(d.subject(), g.clausal()))


def _control(g: Grammar, d: _Discourse) -> Sentence:
    return _plain(g, g.clause(d.subject(), g.infinitival()))


def _passive(g: Grammar, d: _Discourse) -> Sentence:
    return _plain(g, g.passive_clause())


def reflexive_clause(g: Grammar, subject: NounPhrase) -> Clause:
    """`the boys admire themselves`; the pronoun agrees with the local subject."""
    reflexive = g.pronoun(subject.gender, subject.number, 2)
    return g.clause(subject, g.transitive("person", reflexive))


def _reflexive(g: Grammar, d: _Discourse) -> Sentence:
    subject = g.gendered()
    if subject.head.upos == "NOUN" and g.chance(0.4):
        g.add_pp(subject)
    elif subject.head.upos == "NOUN" and g.chance(0.4):
        g.add_object_relative(subject, g.gendered() if g.chance(0.5) else None)
    return _plain(g, reflexive_clause(g, subject))


def wh_word(kind: str, deprel: str = "obj") -> Word:
    return Word("who" if kind == "person" else "what", "PRON", deprel)


def _wh_question(g: Grammar, d: _Discourse) -> Sentence:
    kind = g.pick(("person", "object", "food", "info", "place"))
    subject = d.subject()
    if g.chance(0.25):
        who = wh_word("person", "nsubj")
        asker = NounPhrase([who], who)
        clause = g.clause(asker, g.transitive())
        return finish(clause.words, clause.root, "?")
    if g.chance(0.3):
        front = g.simple_np(kind, determiner="")
        front.words.insert(0, Word("which", "DET", "det", front.head))
    else:
        word = wh_word(kind)
        front = NounPhrase([word], word)
    predicate = g.transitive(kind, gap=True)
    front.head.attach(predicate.head, "obj")
    g.add_adjunct(predicate, 0.2)
    form = g.finite_form()
    if form.tense == "past" and form.aspect == "simple" and not form.modal and g.chance(0.5):
        predicate.complements.append(Word(g.pick(lexicon.TIME_PAST), "ADV", "advmod", predicate.head))
    clause = g.clause(subject, predicate, form, inverted=True, front=front.words)
    return finish(clause.words, clause.root, "?")


def _polar_question(g: Grammar, d: _Discourse) -> Sentence:
    subject = d.subject()
    adverb = "ever" if g.chance(0.3) else ""
    clause = g.clause(subject, g.predicate("person"), g.finite_form(), inverted=True, adverb=adverb)
    return finish(clause.words, clause.root, "?")


def embedded_question(g: Grammar, kind: str, subject: NounPhrase) -> tuple[Clause, Word]:
    """`what the boy ate`, with the wh-word, to hang under wonder or know."""
    predicate = g.transitive(kind, gap=True)
    word = wh_word(kind).attach(predicate.head, "obj")
    return g.clause(subject, predicate, front=[word]), word


def wondering(g: Grammar, subject: NounPhrase, inner: Clause) -> Clause:
    """`subject` wonders / knows + an embedded question."""
    verb = g.pick(lexicon.VERBS["wonder"])
    head = Word(verb.lemma, "VERB", lemma=verb.lemma)
    inner.root.attach(head, "ccomp")
    return g.clause(subject, Predicate(head, verb, list(inner.words)))


def _embedded_question(g: Grammar, d: _Discourse) -> Sentence:
    kind = g.pick(("person", "object", "food", "info", "place"))
    inner, _ = embedded_question(g, kind, g.simple_np("person", modifiers=0.6))
    return _plain(g, wondering(g, d.subject(), inner))


def _coordination(g: Grammar, d: _Discourse) -> Sentence:
    left = g.clause(d.subject(), g.predicate("person", simple=True))
    right = g.clause(d.subject(), g.predicate("person", simple=True))
    return join(left, right, g.pick(("and", "but")))


def join(left: Clause, right: Clause, conjunction: str) -> Sentence:
    """Two clauses with a comma and a conjunction."""
    right.root.attach(left.root, "conj")
    comma = Word(",", "PUNCT", "punct", right.root)
    joint = Word(conjunction, "CCONJ", "cc", right.root)
    return finish([*left.words, comma, joint, *right.words], left.root)


def elliptical(subject: NounPhrase, auxiliary: str, tail: str) -> Clause:
    """`the girls have too`: a clause whose verb phrase is elided."""
    word = Word(auxiliary, "AUX")
    subject.head.attach(word, "nsubj")
    end = Word(tail, "ADV" if tail == "too" else "PART", "advmod", word)
    return Clause([*subject.words, word, end], word, word, subject)


def ellipsis(g: Grammar, subject: NounPhrase, second_subject: NounPhrase) -> tuple[Clause, Clause]:
    """`the boy has slept , and the girls have too`: the auxiliary echoes the first clause."""
    form = g.finite_form(present=0.7)
    form = Form(form.tense, form.aspect, form.modal)
    predicate = g.transitive(simple=True) if g.chance(0.5) else g.intransitive(adjuncts=False)
    first = g.clause(subject, predicate, form)
    plural = second_subject.plural_agreement
    if form.modal:
        auxiliary = form.modal
    elif form.aspect == "perfect":
        auxiliary = ("have" if plural else "has") if form.tense == "present" else "had"
    elif form.aspect == "progressive":
        auxiliary = {"present": ("is", "are"), "past": ("was", "were")}[form.tense][plural]
    else:
        auxiliary = ("do" if plural else "does") if form.tense == "present" else "did"
    return first, elliptical(second_subject, auxiliary, "too")


def _ellipsis(g: Grammar, d: _Discourse) -> Sentence:
    subject = g.name() if g.chance(0.4) else g.simple_np("person", modifiers=0.6)
    second_subject = g.name() if g.chance(0.3) else g.simple_np("person", modifiers=0.6)
    first, second = ellipsis(g, subject, second_subject)
    if g.chance(0.3):
        second.words[-1] = Word("not", "PART", "advmod", second.root)
        return join(first, second, "but")
    return join(first, second, "and")


def noun_ellipsis(g: Grammar, subject: NounPhrase, second_subject: NounPhrase) -> Sentence:
    """`Anna bought two hats , and Tom bought three .`"""
    kind = g.pick(("object", "food", "info"))
    few, more = g.rng.sample(lexicon.NUMERALS, 2)
    theme = g.simple_np(kind, number="pl", determiner=few, modifiers=0.4)
    theme.words[0].upos, theme.words[0].deprel = "NUM", "nummod"
    predicate = g.transitive(kind, theme)
    left = g.clause(subject, predicate, Form("past"))
    verb = predicate.verb
    assert verb is not None
    second_verb = Word(verb.past, "VERB", lemma=verb.lemma)
    second_subject.head.attach(second_verb, "nsubj")
    words = [*second_subject.words, second_verb, Word(more, "NUM", "obj", second_verb)]
    right = Clause(words, second_verb, second_verb, second_subject)
    return join(left, right, "and")


def _noun_ellipsis(g: Grammar, d: _Discourse) -> Sentence:
    return noun_ellipsis(g, g.name(), g.name())


def existential(g: Grammar, number: str, determiner: str | None = None) -> Clause:
    """`there are many dogs near the lake`; no definite or universal noun phrase."""
    options = ("a", "no") if number == "sg" else ("some", "many", "few", "several", "no", "num")
    phrase = g.simple_np(
        g.pick(("person", "animal", "object", "food")), number=number, determiner=determiner or g.pick(options)
    )
    past = g.chance(0.4)
    form = {"sg": ("is", "was"), "pl": ("are", "were")}[number][past]
    root = Word(form, "VERB", lemma="be")
    phrase.head.attach(root, "nsubj")
    expletive = Word("there", "PRON", "expl", root)
    place = g.simple_np("place", modifiers=0.4)
    place.words.insert(0, Word(g.pick(lexicon.LOCATIVE), "ADP", "case", place.head))
    place.head.attach(root, "obl")
    return Clause([expletive, root, *phrase.words, *place.words], root, root, phrase)


def _existential(g: Grammar, d: _Discourse) -> Sentence:
    clause = existential(g, g.number())
    return finish(clause.words, clause.root)


def negative_subject(g: Grammar, number: str) -> NounPhrase:
    """A subject that licenses negative polarity items."""
    if number == "sg" and g.chance(0.3):
        head = Word("nobody", "PRON")
        return NounPhrase([head], head)
    determiner = "no" if number == "sg" else g.pick(("no", "few"))
    return g.noun_phrase("person", number=number, determiner=determiner, modifiers=1.6)


def npi_clause(g: Grammar, subject: NounPhrase, *, negated: bool, item: str) -> Clause:
    """A clause with a negative polarity item: `ever`, `any` or `yet`."""
    if item == "any":
        theme = g.simple_np(g.pick(("object", "food", "info", "person")), number="pl", determiner="any", modifiers=0.3)
        form = g.finite_form(present=0.5)
        return g.clause(subject, g.transitive(theme.kind, theme), Form(form.tense, form.aspect, form.modal, negated))
    predicate = g.transitive(simple=True) if g.chance(0.6) else g.intransitive()
    if item == "ever":
        form = Form(g.pick(("present", "past")), "perfect" if g.chance(0.6) else "simple", negated=negated)
        return g.clause(subject, predicate, form, adverb="ever")
    clause = g.clause(subject, predicate, Form("present", "perfect", negated=negated))
    clause.words.append(Word("yet", "ADV", "advmod", clause.root))
    return clause


def _npi(g: Grammar, d: _Discourse) -> Sentence:
    item = g.pick(("ever", "any", "any", "yet"))
    if g.chance(0.5):
        clause = npi_clause(g, negative_subject(g, g.number()), negated=False, item=item)
    else:
        clause = npi_clause(g, d.subject(), negated=True, item=item)
    if g.chance(0.4):
        clause = g.clause(d.subject(), g.clausal(clause))
    return _plain(g, clause)


def _subordinate(g: Grammar, d: _Discourse) -> Sentence:
    main = g.clause(d.subject(), g.predicate("person", simple=True))
    side = g.clause(d.subject(), g.predicate("person", simple=True))
    side.root.attach(main.root, "advcl")
    marker = Word(g.pick(("because", "when", "if", "although", "while", "before")), "SCONJ", "mark", side.root)
    if g.chance(0.4):
        comma = Word(",", "PUNCT", "punct", main.root)
        return finish([marker, *side.words, comma, *main.words], main.root)
    return finish([*main.words, marker, *side.words], main.root)


def _shared_subject(g: Grammar, d: _Discourse) -> Sentence:
    """`the boy smiles and waves`: two agreeing verbs with one subject."""
    subject = d.subject()
    left = g.intransitive(adjuncts=False) if g.chance(0.5) else g.transitive(simple=True)
    tense = "present" if g.chance(0.7) else "past"
    clause = g.clause(subject, left, Form(tense))
    right = g.intransitive() if g.chance(0.5) else g.transitive(simple=True)
    assert right.verb is not None
    plural = subject.plural_agreement or subject.person == 1
    right.head.form = verb_form(right.verb, tense, plural)
    right.head.attach(left.head, "conj")
    clause.words += [Word("and", "CCONJ", "cc", right.head), right.head, *right.complements]
    return _plain(g, clause)


_CONSTRUCTIONS: list[tuple[_Construction, float]] = [
    (_intransitive, 12),
    (_transitive, 20),
    (_dated, 4),
    (_unaccusative, 3),
    (_ditransitive, 5),
    (_adjectival, 10),
    (_nominal, 3),
    (_clausal, 7),
    (_control, 4),
    (_passive, 5),
    (_reflexive, 7),
    (_wh_question, 6),
    (_polar_question, 4),
    (_embedded_question, 4),
    (_coordination, 4),
    (_ellipsis, 6),
    (_noun_ellipsis, 2),
    (_existential, 5),
    (_npi, 8),
    (_subordinate, 4),
    (_shared_subject, 4),
]


def _narrative(g: Grammar, part: Part) -> Iterator[Sentence]:
    discourse = _Discourse(g)
    for _ in range(g.rng.randint(4, 9)):
        yield from _accepted(lambda: g.weighted(_CONSTRUCTIONS)(g, discourse), part)


def _biography(g: Grammar, part: Part) -> Iterator[Sentence]:
    """Facts about two or three people or cities."""
    for _ in range(g.pick((2, 3))):
        people = (*lexicon.MALE_NAMES, *lexicon.FEMALE_NAMES)
        about = world.facts_of(g.pick(people if g.chance(0.85) else lexicon.CITIES))
        for index, fact in enumerate(g.rng.sample(about, min(len(about), g.pick((2, 3, 4))))):
            pronoun = bool(index) and g.chance(0.4)
            yield from _accepted(partial(world.state, g, fact, pronoun), part)


def code_word(rng: random.Random) -> str:
    """A string of three to five random syllables."""
    return "".join(rng.choice(lexicon.SYLLABLES) for _ in range(rng.randint(3, 5)))


def code_of_part(rng: random.Random, container: str, part: Part) -> str:
    """A code whose two sentences both belong to `part`."""
    while True:
        code = code_word(rng)
        if all(part_of(code_sentence(container, code, repeated).text) == part for repeated in (False, True)):
            return code


def code_sentence(container: str, code: str, repeated: bool) -> Sentence:
    """`The code of the box was mirotak.`, then `Again the code of the box was mirotak.`"""
    root = Word(code, "X")
    noun = Word("code", "NOUN", "nsubj", root)
    box = Word(container, "NOUN", "nmod", noun)
    words = [
        Word("the", "DET", "det", noun),
        noun,
        Word("of", "ADP", "case", box),
        Word("the", "DET", "det", box),
        box,
        Word("was", "AUX", "cop", root, "be"),
        root,
    ]
    if repeated:
        words.insert(0, Word("again", "ADV", "advmod", root))
    return finish(words, root)


def _codes(g: Grammar, part: Part) -> Iterator[Sentence]:
    """Random strings, stated once and repeated twice: only the context predicts the repeats."""
    containers = g.rng.sample([noun.lemma for noun in lexicon.NOUNS["object"]], g.pick((1, 2, 3)))
    codes = [code_of_part(g.rng, container, part) for container in containers]
    for repeated in (False, True, True):
        for index in g.rng.sample(range(len(codes)), len(codes)):
            yield code_sentence(containers[index], codes[index], repeated)


def _accepted(make: Callable[[], Sentence], part: Part) -> Iterator[Sentence]:
    """The first sentence that belongs to `part`, of at most `_MAX_TRIES`."""
    for _ in range(_MAX_TRIES):
        sentence = make()
        if part_of(sentence.text) == part:
            yield sentence
            return


_PLANS: list[tuple[Callable[[Grammar, Part], Iterator[Sentence]], float]] = [(_narrative, 72), (_biography, 15), (_codes, 13)]


def documents(part: Part, seed: int = 0) -> Iterator[Document]:
    """An endless stream of documents of one part, the same for the same seed."""
    index = 0
    while True:
        grammar = Grammar(random.Random(f"{part}-{seed}-{index}"))
        sentences = tuple(grammar.weighted(_PLANS)(grammar, part))
        if sentences:
            yield Document(f"{part}-{seed}-{index}", sentences)
        index += 1
