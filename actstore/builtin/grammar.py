"""The grammar of the embedded language: phrases and clauses, built as dependency trees.

Owns what a well-formed phrase or clause is. `discourse.py` owns which clause follows which,
`paradigms.py` what an ill-formed clause looks like.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from actstore.builtin import lexicon
from actstore.builtin.lexicon import Noun, Verb
from actstore.builtin.syntax import Clause, NounPhrase, Word

T = TypeVar("T")

_DETERMINERS: dict[str, list[tuple[str, str, float]]] = {
    "sg": [
        ("the", "DET", 35),
        ("a", "DET", 24),
        ("this", "DET", 7),
        ("that", "DET", 7),
        ("every", "DET", 5),
        ("each", "DET", 4),
        ("no", "DET", 3),
        ("another", "DET", 2),
        ("poss", "PRON", 8),
    ],
    "pl": [
        ("the", "DET", 34),
        ("these", "DET", 8),
        ("those", "DET", 8),
        ("some", "DET", 9),
        ("many", "ADJ", 6),
        ("few", "ADJ", 4),
        ("several", "ADJ", 5),
        ("all", "DET", 4),
        ("most", "ADJ", 3),
        ("both", "DET", 3),
        ("no", "DET", 2),
        ("num", "NUM", 8),
        ("poss", "PRON", 6),
    ],
}
_POSSESSIVE = [("his", "he"), ("her", "she"), ("their", "they"), ("my", "I"), ("our", "we")]
PRONOUNS = {  # (gender, number): subject, object, reflexive
    ("m", "sg"): ("he", "him", "himself"),
    ("f", "sg"): ("she", "her", "herself"),
    ("n", "sg"): ("it", "it", "itself"),
    ("m", "pl"): ("they", "them", "themselves"),
    ("f", "pl"): ("they", "them", "themselves"),
    ("n", "pl"): ("they", "them", "themselves"),
}
_BE = {"base": "be", "present": ("is", "are"), "past": ("was", "were"), "participle": "been", "gerund": "being"}
_HAVE = {"base": "have", "present": ("has", "have"), "past": ("had", "had")}
_DO = {"base": "do", "present": ("does", "do"), "past": ("did", "did")}
_OTHER_NUMBER = {"is": "are", "was": "were", "has": "have", "does": "do"}
_OTHER_NUMBER |= {plural: singular for singular, plural in _OTHER_NUMBER.items()}
_PREDICATE_KINDS: list[tuple[str, float]] = [
    ("person", 24),
    ("object", 26),
    ("info", 14),
    ("food", 14),
    ("place", 12),
    ("animal", 10),
    ("abstract", 5),
]


@dataclass(slots=True)
class Predicate:
    """A verb (or `be` + adjective or noun) with its complements."""

    head: Word
    verb: Verb | None
    complements: list[Word] = field(default_factory=list)
    lead: list[Word] = field(default_factory=list)

    @property
    def copular(self) -> bool:
        return self.verb is None


@dataclass(frozen=True, slots=True)
class Form:
    """Tense, aspect, mood, polarity and voice of a finite clause."""

    tense: str = "present"
    aspect: str = "simple"
    modal: str = ""
    negated: bool = False
    passive: bool = False


def verb_form(verb: Verb, slot: str, plural: bool) -> str:
    """The form of a full verb in a slot of the verb chain."""
    if slot == "present":
        return verb.lemma if plural else verb.present
    return {"base": verb.lemma, "past": verb.past, "participle": verb.participle, "gerund": verb.gerund}[slot]


def _auxiliary_form(table: dict[str, Any], slot: str, subject: NounPhrase) -> str:
    form = table[slot]
    if table is _BE and subject.person == 1 and subject.number == "sg":
        return {"present": "am", "past": "was"}.get(slot, str(form))
    if isinstance(form, str):
        return form
    plural = subject.plural_agreement or (subject.person == 1)
    return str(form[plural])


def flip_number(word: Word) -> str:
    """The same finite form in the other number (`walks` ↔ `walk`, `is` ↔ `are`)."""
    lowered = word.form.lower()
    if lowered in _OTHER_NUMBER:
        return _OTHER_NUMBER[lowered]
    present = VERB_BY_LEMMA[word.lemma].present
    return word.lemma if lowered == present else present


VERB_BY_LEMMA: dict[str, Verb] = {
    verb.lemma: verb for verbs in (*lexicon.TRANSITIVE.values(), *lexicon.VERBS.values()) for verb in verbs
}


class Grammar:
    """A sampler of phrases and clauses; every draw comes from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # -- choice -----------------------------------------------------------------------------

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.random() * len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        mark = self.rng.random() * sum(weight for _, weight in options)
        for option, weight in options:
            mark -= weight
            if mark < 0:
                return option
        return options[-1][0]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def number(self) -> str:
        return "pl" if self.chance(0.45) else "sg"

    def finite_form(self, *, present: float = 0.6) -> Form:
        """A random finite form, never passive."""
        tense = "present" if self.chance(present) else "past"
        draw = self.rng.random()
        if draw < 0.12:
            return Form(modal=self.pick(lexicon.MODALS), negated=self.chance(0.15))
        aspect = "perfect" if draw < 0.24 else "progressive" if draw < 0.35 else "simple"
        return Form(tense, aspect, negated=self.chance(0.13))

    # -- noun phrases -----------------------------------------------------------------------

    def noun_phrase(
        self,
        kind: str = "person",
        *,
        number: str | None = None,
        gender: str | None = None,
        noun: Noun | None = None,
        determiner: str | None = None,
        modifiers: float = 1.0,
        adjective: str | None = None,
        clauses: bool = True,
    ) -> NounPhrase:
        """A common-noun phrase. `modifiers` scales how often it is modified."""
        number = number or self.number()
        if noun is None:
            nouns = lexicon.NOUNS[kind]
            noun = self.pick([n for n in nouns if n.gender == gender] if gender else nouns)
        head = Word(noun.lemma if number == "sg" else noun.plural, "NOUN", lemma=noun.lemma)
        adjectives = self._adjectives(noun.kind, modifiers, adjective)
        for word in adjectives:
            word.attach(head, "amod")
        words = [*adjectives, head]
        words = self._determine(head, words, number, determiner) + words
        phrase = NounPhrase(words, head, number, noun.gender, noun.kind)
        if clauses and modifiers > 0:
            self._postmodify(phrase, modifiers)
        return phrase

    def _adjectives(self, kind: str, modifiers: float, adjective: str | None) -> list[Word]:
        if adjective is None:
            if not self.chance(0.22 * modifiers):
                return []
            adjective = self.pick(lexicon.ADJECTIVES[kind])
        return [Word(adjective, "ADJ")]

    def _determine(self, head: Word, words: list[Word], number: str, determiner: str | None) -> list[Word]:
        upos = "DET"
        if determiner is None:
            determiner, upos = self.weighted([((d, u), w) for d, u, w in _DETERMINERS[number]])
        elif determiner in ("many", "few", "several", "most"):
            upos = "ADJ"
        if determiner == "":
            return []
        if determiner == "a":
            return [Word(lexicon.indefinite_article(words[0].form), "DET", "det", head, "a")]
        if determiner == "num":
            return [Word(self.pick(lexicon.NUMERALS), "NUM", "nummod", head)]
        if determiner == "poss":
            form, lemma = self.pick(_POSSESSIVE)
            return [Word(form, "PRON", "nmod:poss", head, lemma)]
        return [Word(determiner, upos, "amod" if upos == "ADJ" else "det", head)]

    def _postmodify(self, phrase: NounPhrase, modifiers: float) -> None:
        draw = self.rng.random() / modifiers
        if draw < 0.10:
            self.add_pp(phrase)
        elif phrase.kind == "person":
            if draw < 0.16:
                self.add_subject_relative(phrase)
            elif draw < 0.22:
                self.add_object_relative(phrase)
        elif draw < 0.16:
            self.add_object_relative(phrase)

    def simple_np(self, kind: str = "person", **features: Any) -> NounPhrase:
        """A noun phrase with nothing after its head."""
        return self.noun_phrase(kind, clauses=False, **features)

    def name(self, gender: str | None = None) -> NounPhrase:
        gender = gender or self.pick("mf")
        form = self.pick(lexicon.MALE_NAMES if gender == "m" else lexicon.FEMALE_NAMES)
        return self.named(form, gender)

    @staticmethod
    def named(form: str, gender: str) -> NounPhrase:
        head = Word(form, "PROPN", lemma=form)
        return NounPhrase([head], head, "sg", gender)

    @staticmethod
    def pronoun(gender: str, number: str, case: int = 0, kind: str = "person") -> NounPhrase:
        forms = PRONOUNS[gender, number]
        head = Word(forms[case], "PRON", lemma=forms[0])
        return NounPhrase([head], head, number, gender, kind)

    def anaphoric(self, phrase: NounPhrase, case: int = 1) -> NounPhrase:
        return self.pronoun(phrase.gender, phrase.number, case)

    def gendered(self, number: str | None = None, **features: Any) -> NounPhrase:
        """A person whose gender is marked: a name or a gendered noun."""
        gender = self.pick("mf")
        if number != "pl" and not features and self.chance(0.4):
            return self.name(gender)
        return self.simple_np("person", gender=gender, number=number or self.number(), **features)

    def speaker(self) -> NounPhrase:
        """First or second person."""
        form, number, person = self.pick([("I", "sg", 1), ("we", "pl", 1), ("you", "sg", 2)])
        head = Word(form, "PRON", lemma=form)
        return NounPhrase([head], head, number, "n", "person", person)

    def coordinate(self, left: NounPhrase, right: NounPhrase, conjunction: str = "and") -> NounPhrase:
        right.head.attach(left.head, "conj")
        joint = Word(conjunction, "CCONJ", "cc", right.head)
        return NounPhrase([*left.words, joint, *right.words], left.head, "pl", left.gender, left.kind)

    def add_pp(self, phrase: NounPhrase, inner: NounPhrase | None = None) -> NounPhrase:
        """Attach a prepositional phrase to a noun phrase, in place."""
        kind = self.pick(("person", "object", "place")) if phrase.kind != "abstract" else "person"
        inner = inner or self.simple_np(kind, modifiers=0.5)
        if phrase.kind in ("info", "abstract"):
            preposition = "about"
        else:
            special = {"object": "with", "place": "from"}.get(inner.kind, "near")
            preposition = special if self.chance(0.4) else self.pick(lexicon.NOUN_PREP)
        self._govern(inner, preposition, phrase.head, "nmod")
        phrase.words.extend(inner.words)
        return phrase

    def _govern(self, phrase: NounPhrase, preposition: str, head: Word, deprel: str) -> None:
        phrase.words.insert(0, Word(preposition, "ADP", "case", phrase.head))
        phrase.head.attach(head, deprel)

    def add_subject_relative(
        self, phrase: NounPhrase, predicate: Predicate | None = None, form: Form | None = None, pronoun: str = ""
    ) -> Clause:
        """`the boy who sees the girls`: the relative verb agrees with the head noun."""
        pronoun = pronoun or (self.pick(("who", "that")) if phrase.kind == "person" else "that")
        relative = Word(pronoun, "PRON", "nsubj")
        gap = NounPhrase([relative], relative, phrase.number, phrase.gender, phrase.kind)
        predicate = predicate or self.predicate(phrase.kind, simple=True)
        clause = self.clause(gap, predicate, form or self.finite_form(present=0.75))
        clause.root.attach(phrase.head, "acl:relcl")
        phrase.words.extend(clause.words)
        return clause

    def add_object_relative(self, phrase: NounPhrase, subject: NounPhrase | None = None) -> Clause:
        """`the boy that the girls see`: the relative verb agrees with its own subject."""
        subject = subject or self.simple_np("person", modifiers=0.4)
        predicate = self.transitive(phrase.kind, gap=True)
        clause = self.clause(subject, predicate, self.finite_form(present=0.75))
        clause.root.attach(phrase.head, "acl:relcl")
        if self.chance(0.75):
            form = "who" if phrase.kind == "person" and self.chance(0.4) else "that"
            clause.words.insert(0, Word(form, "PRON", "obj", clause.root))
        phrase.words.extend(clause.words)
        return clause

    # -- predicates -------------------------------------------------------------------------

    def intransitive(self, *, adjuncts: bool = True, frame: str = "intransitive") -> Predicate:
        verb = self.pick(lexicon.VERBS[frame])
        predicate = Predicate(Word(verb.lemma, "VERB", lemma=verb.lemma), verb)
        if adjuncts:
            self.add_adjunct(predicate, 0.45)
        return predicate

    def transitive(
        self, kind: str | None = None, obj: NounPhrase | None = None, *, gap: bool = False, simple: bool = False
    ) -> Predicate:
        """A transitive verb with an object of the class it selects, or a gap in its place."""
        kind = kind or (obj.kind if obj else self.weighted(_PREDICATE_KINDS))
        verb = self.pick(lexicon.TRANSITIVE[kind])
        predicate = Predicate(Word(verb.lemma, "VERB", lemma=verb.lemma), verb)
        if not gap:
            self.complement(predicate, obj or self.object_np(kind, simple), "obj")
        return predicate

    def object_np(self, kind: str, simple: bool = False) -> NounPhrase:
        if kind == "person" and self.chance(0.3):
            return self.name() if self.chance(0.6) else self.pronoun(self.pick("mf"), self.number(), 1)
        return self.simple_np(kind) if simple else self.noun_phrase(kind, modifiers=0.7)

    @staticmethod
    def complement(predicate: Predicate, phrase: NounPhrase, deprel: str) -> None:
        phrase.head.attach(predicate.head, deprel)
        predicate.complements.extend(phrase.words)

    def ditransitive(self, recipient: NounPhrase | None = None) -> Predicate:
        verb = self.pick(lexicon.VERBS["ditransitive"])
        predicate = Predicate(Word(verb.lemma, "VERB", lemma=verb.lemma), verb)
        recipient = recipient or self.object_np("person", simple=True)
        theme = self.simple_np(self.pick(("object", "info", "food")))
        if self.chance(0.5):
            self.complement(predicate, recipient, "iobj")
            self.complement(predicate, theme, "obj")
        else:
            self.complement(predicate, theme, "obj")
            self._govern(recipient, "to", predicate.head, "obl")
            predicate.complements.extend(recipient.words)
        return predicate

    def adjectival(self, kind: str) -> Predicate:
        adjective = Word(self.pick(lexicon.ADJECTIVES[kind]), "ADJ")
        lead = [Word(self.pick(lexicon.DEGREE), "ADV", "advmod", adjective)] if self.chance(0.3) else []
        return Predicate(adjective, None, lead=lead)

    def nominal(self, number: str) -> Predicate:
        phrase = self.simple_np("person", number=number, determiner="a" if number == "sg" else "")
        return Predicate(phrase.head, None, lead=[w for w in phrase.words if w is not phrase.head])

    def clausal(self, clause: Clause | None = None) -> Predicate:
        """`says that …`."""
        verb = self.pick(lexicon.VERBS["clause"])
        predicate = Predicate(Word(verb.lemma, "VERB", lemma=verb.lemma), verb)
        clause = clause or self.simple_clause()
        clause.root.attach(predicate.head, "ccomp")
        if self.chance(0.8):
            predicate.complements.append(Word("that", "SCONJ", "mark", clause.root))
        predicate.complements.extend(clause.words)
        return predicate

    def infinitival(self) -> Predicate:
        """`wants to …`."""
        verb = self.pick(lexicon.VERBS["control"])
        predicate = Predicate(Word(verb.lemma, "VERB", lemma=verb.lemma), verb)
        inner = self.transitive(simple=True) if self.chance(0.6) else self.intransitive()
        inner.head.attach(predicate.head, "xcomp")
        predicate.complements += [Word("to", "PART", "mark", inner.head), inner.head, *inner.complements]
        return predicate

    def predicate(self, kind: str = "person", *, simple: bool = False) -> Predicate:
        """A predicate that a subject of this class can have."""
        if kind == "person":
            draw = self.rng.random()
            if draw < 0.48:
                return self.transitive(simple=simple)
            return self.intransitive() if draw < 0.78 else self.adjectival(kind)
        if kind == "animal":
            draw = self.rng.random()
            if draw < 0.3:
                return self.transitive("person", simple=True)
            return self.intransitive() if draw < 0.65 else self.adjectival(kind)
        if kind == "object" and self.chance(0.3):
            return self.intransitive(frame="unaccusative")
        return self.adjectival(kind)

    def add_adjunct(self, predicate: Predicate, probability: float = 1.0) -> None:
        """A manner adverb or a place."""
        if not self.chance(probability):
            return
        if self.chance(0.5):
            predicate.complements.append(Word(self.pick(lexicon.MANNER), "ADV", "advmod", predicate.head))
        else:
            place = self.simple_np(self.pick(("place", "place", "object")), modifiers=0.4)
            self._govern(place, self.pick(lexicon.LOCATIVE), predicate.head, "obl")
            predicate.complements.extend(place.words)

    # -- clauses ----------------------------------------------------------------------------

    def _chain(self, predicate: Predicate, form: Form, *, support: bool) -> list[tuple[str, str]]:
        """The verb chain as (lemma, slot) pairs; the last is the main verb (or `be`)."""
        chain: list[tuple[str, str]] = []
        slot: str = form.tense
        if form.modal:
            chain.append((form.modal, "modal"))
            slot = "base"
        if form.aspect == "perfect":
            chain.append(("have", slot))
            slot = "participle"
        # `being tall` and `been seeing` are left out: stative predicates take no progressive.
        if form.aspect == "progressive" and not predicate.copular and not form.passive:
            chain.append(("be", slot))
            slot = "gerund"
        if form.passive:
            chain.append(("be", slot))
            slot = "participle"
        if support and not chain and not predicate.copular:
            chain.append(("do", slot))
            slot = "base"
        chain.append(("be" if predicate.copular else "", slot))
        return chain

    def clause(
        self,
        subject: NounPhrase,
        predicate: Predicate,
        form: Form | None = None,
        *,
        adverb: str = "",
        inverted: bool = False,
        front: list[Word] | None = None,
    ) -> Clause:
        """A finite clause; `inverted` puts the first auxiliary before the subject."""
        form = form or self.finite_form()
        chain = self._chain(predicate, form, support=form.negated or inverted)
        plural = subject.plural_agreement or subject.person == 1
        verbs: list[Word] = []
        for position, (lemma, slot) in enumerate(chain):
            last = position == len(chain) - 1
            if last and predicate.verb is not None:
                predicate.head.form = verb_form(predicate.verb, slot, plural)
                verbs.append(predicate.head)
                continue
            text = lemma if slot == "modal" else _auxiliary_form({"be": _BE, "have": _HAVE, "do": _DO}[lemma], slot, subject)
            deprel = "cop" if last else "aux:pass" if form.passive and position == len(chain) - 2 else "aux"
            verbs.append(Word(text, "AUX", deprel, predicate.head, lemma))
        subject.head.attach(predicate.head, "nsubj:pass" if form.passive else "nsubj")
        finite, *nonfinite = verbs
        middle = [Word("not", "PART", "advmod", predicate.head)] if form.negated else []
        if adverb:
            middle.append(Word(adverb, "ADV", "advmod", predicate.head))
        if inverted:
            words = [finite, *subject.words, *middle, *nonfinite]
        elif adverb and finite is predicate.head:
            words = [*subject.words, *middle, finite]
        else:
            words = [*subject.words, finite, *middle, *nonfinite]
        if predicate.copular:
            words += [*predicate.lead, predicate.head]
        return Clause([*(front or []), *words, *predicate.complements], predicate.head, finite, subject)

    def subject(self, kind: str = "person", **features: Any) -> NounPhrase:
        """A noun phrase fit to be a subject: modified more often than others."""
        return self.noun_phrase(kind, modifiers=1.6, **features)

    def simple_clause(self) -> Clause:
        subject = self.name() if self.chance(0.3) else self.simple_np("person", modifiers=0.6)
        return self.clause(subject, self.predicate("person", simple=True))

    def passive_clause(self, kind: str | None = None) -> Clause:
        """`the letter was read by the boy`."""
        kind = kind or self.weighted(_PREDICATE_KINDS)
        predicate = self.transitive(kind, gap=True)
        if self.chance(0.7):
            agent = self.simple_np("person") if self.chance(0.6) else self.name()
            self._govern(agent, "by", predicate.head, "obl:agent")
            predicate.complements.extend(agent.words)
        form = self.finite_form(present=0.4)
        aspect = "simple" if form.aspect == "progressive" else form.aspect
        return self.clause(
            self.noun_phrase(kind, modifiers=0.8), predicate, Form(form.tense, aspect, form.modal, form.negated, passive=True)
        )
