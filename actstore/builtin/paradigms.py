"""Minimal pairs from the embedded grammar, in BLiMP's record form.

Owns the paradigms: what is well formed, and the one change that makes it ill formed. Good
sentences belong to the `evaluation` part, so no model was trained on them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from actstore.builtin import discourse, lexicon
from actstore.builtin.grammar import PRONOUNS, Form, Grammar, Predicate, flip_number
from actstore.builtin.syntax import Clause, NounPhrase, Sentence, Word, finish, replace_form

Pair = tuple[Sentence, Sentence]
_MAX_TRIES = 20_000


def _swap(sentence: Sentence, word: Word, form: str) -> Pair:
    index = next(i for i, w in enumerate(sentence.words) if w is word)
    return sentence, replace_form(sentence, index, form)


def _swap_finite(clause: Clause, sentence: Sentence | None = None) -> Pair:
    return _swap(sentence or finish(clause.words, clause.root), clause.finite, flip_number(clause.finite))


def _opposite(number: str) -> str:
    return "sg" if number == "pl" else "pl"


def _noun(g: Grammar, number: str | None = None, **features: Any) -> NounPhrase:
    """A bare subject whose determiner does not show its number."""
    return g.simple_np("person", number=number or g.number(), determiner="the", modifiers=0.3, **features)


def _agreeing(g: Grammar, subject: NounPhrase, *, auxiliary: bool | None = None) -> Clause:
    """A present-tense clause whose first verb shows agreement."""
    use_auxiliary = g.chance(0.5) if auxiliary is None else auxiliary
    if not use_auxiliary:
        predicate = g.intransitive() if g.chance(0.5) else g.transitive(simple=True)
        return g.clause(subject, predicate, Form())
    if g.chance(0.5):
        return g.clause(subject, g.adjectival("person"), Form())
    return g.clause(subject, g.transitive(simple=True), Form("present", g.pick(("perfect", "progressive"))))


# -- subject–verb agreement ---------------------------------------------------------------------


def _simple_agreement(g: Grammar) -> Pair:
    return _swap_finite(_agreeing(g, _noun(g), auxiliary=False))


def _auxiliary_agreement(g: Grammar) -> Pair:
    return _swap_finite(_agreeing(g, _noun(g), auxiliary=True))


def _irregular_noun_agreement(g: Grammar) -> Pair:
    noun = g.pick([n for n in lexicon.NOUNS["person"] if not n.regular])
    return _swap_finite(_agreeing(g, _noun(g, noun=noun)))


def _coordinated_agreement(g: Grammar) -> Pair:
    left = g.name() if g.chance(0.5) else _noun(g, "sg")
    return _swap_finite(_agreeing(g, g.coordinate(left, _noun(g, "sg"))))


def _complement_agreement(g: Grammar) -> Pair:
    number = g.number()
    inner = _agreeing(g, _noun(g, number))
    outer = g.clause(_noun(g, _opposite(number)), g.clausal(inner), Form("past"))
    return _swap_finite(inner, finish(outer.words, outer.root))


def _shared_subject_agreement(g: Grammar) -> Pair:
    subject = _noun(g)
    left = g.transitive("person", _noun(g, _opposite(subject.number)))
    clause = g.clause(subject, left, Form())
    right = g.clause(subject, g.intransitive(), Form())
    subject.head.attach(left.head, "nsubj")
    right.root.attach(left.head, "conj")
    tail = right.words[len(subject.words) :]
    joint = Word("and", "CCONJ", "cc", right.root)
    return _swap(finish([*clause.words, joint, *tail], clause.root), right.finite, flip_number(right.finite))


# -- agreement across attractors ------------------------------------------------------------------


def _pp_attractor(g: Grammar) -> Pair:
    subject = _noun(g)
    g.add_pp(subject, _noun(g, _opposite(subject.number)))
    return _swap_finite(_agreeing(g, subject))


def _subject_relative_attractor(g: Grammar) -> Pair:
    subject = _noun(g)
    g.add_subject_relative(subject, g.transitive("person", _noun(g, _opposite(subject.number))), Form("past"))
    return _swap_finite(_agreeing(g, subject))


def _object_relative(g: Grammar) -> tuple[NounPhrase, Clause]:
    subject = _noun(g)
    predicate = g.transitive("person", gap=True)
    relative = g.clause(_noun(g, _opposite(subject.number)), predicate, Form())
    relative.root.attach(subject.head, "acl:relcl")
    subject.words += [Word("that", "PRON", "obj", relative.root), *relative.words]
    return subject, relative


def _object_relative_attractor(g: Grammar) -> Pair:
    subject, _ = _object_relative(g)
    return _swap_finite(_agreeing(g, subject))


def _inside_object_relative(g: Grammar) -> Pair:
    subject, relative = _object_relative(g)
    clause = g.clause(subject, g.predicate("person", simple=True), Form("past"))
    return _swap_finite(relative, finish(clause.words, clause.root))


# -- determiners and quantifiers ------------------------------------------------------------------

_DEMONSTRATIVE = {"this": "these", "that": "those", "these": "this", "those": "that"}


def _demonstrative(g: Grammar, *, adjective: bool, irregular: bool = False) -> Pair:
    kind = "person" if irregular else g.pick(("person", "object", "animal"))
    noun = g.pick([n for n in lexicon.NOUNS[kind] if not n.regular]) if irregular else None
    number = g.number()
    determiner = g.pick(("this", "that") if number == "sg" else ("these", "those"))
    modifier = g.pick(lexicon.ADJECTIVES[kind]) if adjective else ""
    theme = g.simple_np(kind, number=number, determiner=determiner, noun=noun, adjective=modifier or None, modifiers=0.0)
    clause = g.clause(g.name(), g.transitive(kind, theme), Form("past"))
    return _swap(finish(clause.words, clause.root), theme.words[0], _DEMONSTRATIVE[determiner])


def _determiner_noun(g: Grammar) -> Pair:
    return _demonstrative(g, adjective=False)


def _determiner_adjective_noun(g: Grammar) -> Pair:
    return _demonstrative(g, adjective=True)


def _determiner_irregular_noun(g: Grammar) -> Pair:
    return _demonstrative(g, adjective=False, irregular=True)


def _quantifier_number(g: Grammar) -> Pair:
    """`every boy` / `every boys`, `several boys` / `several boy`."""
    number = g.number()
    determiner = g.pick(("every", "each") if number == "sg" else ("several", "many", "few", "all", "both"))
    kind = g.pick(("object", "food", "animal"))
    noun = g.pick([n for n in lexicon.NOUNS[kind] if n.lemma != n.plural])
    theme = g.simple_np(kind, number=number, determiner=determiner, noun=noun, modifiers=0.3)
    clause = g.clause(g.name(), g.transitive(kind, theme), Form("past"))
    wrong = noun.plural if number == "sg" else noun.lemma
    return _swap(finish(clause.words, clause.root), theme.head, wrong)


def _existential_quantifier(g: Grammar) -> Pair:
    """`there are many dogs` / `there are most dogs`: no universal after `there`."""
    clause = discourse.existential(g, "pl", g.pick(("many", "few", "several", "some")))
    return _swap(finish(clause.words, clause.root), clause.subject.words[0], g.pick(("all", "most", "both")))


def _existential_agreement(g: Grammar) -> Pair:
    clause = discourse.existential(g, g.number())
    return _swap_finite(clause)


# -- anaphora and binding -------------------------------------------------------------------------


def _reflexive_pair(clause: Clause, reflexive: Word, wrong: str) -> Pair:
    return _swap(finish(clause.words, clause.root), reflexive, wrong)


def _reflexive_clause(g: Grammar, subject: NounPhrase) -> tuple[Clause, Word]:
    clause = discourse.reflexive_clause(g, subject)
    return clause, clause.words[-1]


def _anaphor_gender(g: Grammar) -> Pair:
    subject = g.gendered("sg")
    clause, reflexive = _reflexive_clause(g, subject)
    opposite = {"m": "f", "f": "m"}[subject.gender]
    return _reflexive_pair(clause, reflexive, PRONOUNS[opposite, "sg"][2])


def _anaphor_number(g: Grammar) -> Pair:
    subject = g.gendered(g.number())
    clause, reflexive = _reflexive_clause(g, subject)
    return _reflexive_pair(clause, reflexive, PRONOUNS[subject.gender, _opposite(subject.number)][2])


def _anaphor_across_pp(g: Grammar) -> Pair:
    subject = g.gendered(g.number(), determiner="the")
    g.add_pp(subject, g.gendered(_opposite(subject.number), determiner="the"))
    clause, reflexive = _reflexive_clause(g, subject)
    return _reflexive_pair(clause, reflexive, PRONOUNS[subject.gender, _opposite(subject.number)][2])


def _anaphor_domain(g: Grammar) -> Pair:
    """`the king said that the girl likes herself / himself`: only the local subject binds."""
    gender = g.pick("mf")
    local = g.simple_np("person", gender=gender, number="sg", determiner="the")
    opposite = {"m": "f", "f": "m"}[gender]
    distant = g.simple_np("person", gender=opposite, number="sg", determiner="the")
    inner, reflexive = _reflexive_clause(g, local)
    outer = g.clause(distant, g.clausal(inner), Form("past"))
    return _reflexive_pair(outer, reflexive, PRONOUNS[opposite, "sg"][2])


# -- negative polarity ------------------------------------------------------------------------------


def _npi_subject(g: Grammar, item: str) -> Pair:
    """`no boy has ever slept` / `every boy has ever slept`."""
    number = g.number()
    subject = g.simple_np("person", number=number, determiner="no", modifiers=0.3)
    clause = discourse.npi_clause(g, subject, negated=False, item=item)
    wrong = g.pick(("every", "this", "the")) if number == "sg" else g.pick(("these", "most", "the"))
    return _swap(_reported(g, clause), subject.words[0], wrong)


def _reported(g: Grammar, clause: Clause) -> Sentence:
    """`Tom said that …`: the licensor has no capital letter, so both sentences have similar tokens."""
    outer = g.clause(g.name(), g.clausal(clause), Form("past"))
    return finish(outer.words, outer.root)


def _npi_ever(g: Grammar) -> Pair:
    return _npi_subject(g, "ever")


def _npi_any(g: Grammar) -> Pair:
    return _npi_subject(g, "any")


def _npi_negation(g: Grammar) -> Pair:
    """`the boy has not seen any dogs` / `the boy has often seen any dogs`."""
    theme = g.simple_np(g.pick(("object", "food", "info")), number="pl", determiner="any", modifiers=0.3)
    form = Form("present", "perfect", negated=True) if g.chance(0.5) else Form(modal=g.pick(lexicon.MODALS), negated=True)
    clause = g.clause(_noun(g), g.transitive(theme.kind, theme), form)
    negation = next(word for word in clause.words if word.form == "not")
    return _swap(finish(clause.words, clause.root), negation, g.pick(("often", "always", "usually")))


def _npi_scope(g: Grammar) -> Pair:
    """`no boy that the girl likes has ever slept` / `the boy that no girl likes has ever slept`."""
    subject, relative = _object_relative(g)
    inner = relative.subject.words[0]
    subject.words[0].form = "no"
    clause = discourse.npi_clause(g, subject, negated=False, item="ever")
    good = _reported(g, clause)
    _, bad = _swap(good, subject.words[0], "the")
    index = next(i for i, word in enumerate(good.words) if word is inner)
    return good, replace_form(bad, index, "no")


# -- argument structure and selection ---------------------------------------------------------------


def _swap_verb(g: Grammar, clause: Clause, source: Predicate, frame: str) -> Pair:
    """Replace the main verb by one of another frame, in the same form."""
    assert source.verb is not None
    slot = next(s for s in ("participle", "past") if getattr(source.verb, s) == source.head.form)
    pool = lexicon.VERBS.get(frame) or lexicon.TRANSITIVE[frame]
    wrong = getattr(g.pick(pool), slot)
    return _swap(finish(clause.words, clause.root), source.head, wrong)


def _needless_object(g: Grammar) -> Pair:
    """`the boy helped the girl` / `the boy smiled the girl`."""
    predicate = g.transitive("person", g.simple_np("person", modifiers=0.3))
    clause = g.clause(_noun(g), predicate, Form("past"))
    return _swap_verb(g, clause, predicate, "intransitive")


def _missing_object(g: Grammar) -> Pair:
    """`the boy smiled` / `the boy carried`."""
    predicate = g.intransitive(adjuncts=False)
    clause = g.clause(_noun(g), predicate, Form("past"))
    return _swap_verb(g, clause, predicate, "object")


def _passive(g: Grammar) -> Pair:
    """`the boy was helped by Anna` / `the boy was smiled by Anna`."""
    predicate = g.transitive("person", gap=True)
    agent = g.name()
    agent.head.attach(predicate.head, "obl:agent")
    predicate.complements += [Word("by", "ADP", "case", agent.head), agent.head]
    clause = g.clause(_noun(g), predicate, Form("past", passive=True))
    return _swap_verb(g, clause, predicate, "intransitive")


def _animate_subject(g: Grammar) -> Pair:
    """`the boy laughed` / `the spoon laughed`."""
    subject = _noun(g)
    clause = g.clause(subject, g.intransitive(), Form("past"))
    noun = g.pick(lexicon.NOUNS["object"])
    wrong = noun.lemma if subject.number == "sg" else noun.plural
    return _swap(finish(clause.words, clause.root), subject.head, wrong)


# -- verb forms ---------------------------------------------------------------------------------------


def _irregular_verb(g: Grammar) -> tuple[Predicate, Any]:
    kind = g.pick(("person", "object", "food", "info"))
    verb = g.pick([v for v in lexicon.TRANSITIVE[kind] if v.irregular_participle])
    predicate = g.transitive(kind, simple=True)
    head = Word(verb.lemma, "VERB", lemma=verb.lemma)
    for word in predicate.complements:
        if word.head is predicate.head:
            word.head = head
    predicate.head, predicate.verb = head, verb
    return predicate, verb


def _participle(g: Grammar) -> Pair:
    """`has eaten` / `has ate`."""
    predicate, verb = _irregular_verb(g)
    clause = g.clause(_noun(g), predicate, Form(g.pick(("present", "past")), "perfect"))
    return _swap(finish(clause.words, clause.root), predicate.head, verb.past)


def _past_form(g: Grammar) -> Pair:
    """`ate` / `eaten`."""
    predicate, verb = _irregular_verb(g)
    clause = g.clause(_noun(g), predicate, Form("past"))
    return _swap(finish(clause.words, clause.root), predicate.head, verb.participle)


def _base_form(g: Grammar, form: Form) -> Pair:
    predicate = g.transitive("person", simple=True) if g.chance(0.5) else g.intransitive()
    clause = g.clause(_noun(g), predicate, form)
    assert predicate.verb is not None
    return _swap(finish(clause.words, clause.root), predicate.head, g.pick((predicate.verb.present, predicate.verb.gerund)))


def _modal_base(g: Grammar) -> Pair:
    return _base_form(g, Form(modal=g.pick(lexicon.MODALS)))


def _do_support_base(g: Grammar) -> Pair:
    return _base_form(g, Form(g.pick(("present", "past")), negated=True))


def _temporal(g: Grammar) -> Pair:
    """`the boy slept yesterday` / `the boy sleeps yesterday`."""
    subject = _noun(g)
    predicate = g.intransitive(adjuncts=False) if g.chance(0.5) else g.transitive(simple=True)
    verb = predicate.verb
    assert verb is not None
    clause = g.clause(subject, predicate, Form("past"))
    clause.words.append(Word(g.pick(lexicon.TIME_PAST), "ADV", "advmod", clause.root))
    return _swap(finish(clause.words, clause.root), clause.root, verb.lemma if subject.number == "pl" else verb.present)


# -- filler and gap, questions ------------------------------------------------------------------------

_ASKABLE = ("object", "food", "info", "place")


def _wh_with_gap(g: Grammar) -> Pair:
    """`Tom knows what the boy ate` / `Tom knows that the boy ate`."""
    inner, word = discourse.embedded_question(g, g.pick(_ASKABLE), _noun(g))
    clause = discourse.wondering(g, g.name(), inner)
    return _swap(finish(clause.words, clause.root), word, "that")


def _that_without_gap(g: Grammar) -> Pair:
    """`Tom knows that the boy ate the pie` / `Tom knows what the boy ate the pie`."""
    kind = g.pick(_ASKABLE)
    inner = g.clause(_noun(g), g.transitive(kind, simple=True))
    verb = next(v for v in lexicon.VERBS["clause"] if v.lemma == "know")
    head = Word(verb.lemma, "VERB", lemma=verb.lemma)
    inner.root.attach(head, "ccomp")
    marker = Word("that", "SCONJ", "mark", inner.root)
    clause = g.clause(g.name(), Predicate(head, verb, [marker, *inner.words]))
    return _swap(finish(clause.words, clause.root), marker, "what")


def _question_gap(g: Grammar) -> Pair:
    """`What did the boy eat yesterday?` / `What did the boy eat it?`: the gap stays empty."""
    predicate = g.transitive(g.pick(_ASKABLE), gap=True)
    word = discourse.wh_word("object").attach(predicate.head, "obj")
    filler = Word("yesterday", "ADV", "advmod", predicate.head)
    predicate.complements.append(filler)
    clause = g.clause(_noun(g), predicate, Form("past"), inverted=True, front=[word])
    return _swap(finish(clause.words, clause.root, "?"), filler, g.pick(("him", "them", "it")))


def _inversion(g: Grammar) -> Pair:
    """`Has the boy slept?` / `The boy has slept?`."""
    subject = _noun(g)
    predicate = g.intransitive() if g.chance(0.5) else g.transitive(simple=True)
    clause = g.clause(subject, predicate, Form("present", g.pick(("perfect", "progressive"))), inverted=True)
    finite, *remaining = clause.words
    n_subject = len(subject.words)
    straight = [Word(w.form, w.upos, lemma=w.lemma) for w in (*remaining[:n_subject], finite, *remaining[n_subject:])]
    return finish(clause.words, clause.root, "?"), finish(straight, straight[-1], "?")


# -- ellipsis and case --------------------------------------------------------------------------------


def _ellipsis_pair(g: Grammar, choose: Callable[[str], str | None]) -> Pair | None:
    number = g.number()
    first, second = discourse.ellipsis(g, _noun(g, _opposite(number)), _noun(g, number))
    wrong = choose(second.finite.form)
    if wrong is None:
        return None
    return _swap(discourse.join(first, second, "and"), second.finite, wrong)


def _ellipsis_agreement(g: Grammar) -> Pair | None:
    """`the boy has slept, and the girls have too` / `… has too`."""
    forms = ("is", "are", "was", "were", "has", "have", "does", "do")
    return _ellipsis_pair(g, lambda form: flip_number(Word(form, "AUX")) if form in forms else None)


def _ellipsis_auxiliary(g: Grammar) -> Pair | None:
    """`the boy has slept, and the girls have too` / `… are too`: the auxiliary must match."""
    wrong = {"has": "is", "have": "are", "is": "has", "are": "have", "did": "had", "had": "did", "was": "did", "were": "did"}
    return _ellipsis_pair(g, wrong.get)


def _noun_ellipsis(g: Grammar) -> Pair:
    """`Tom bought two hats, and Ann bought ten` / `Tom bought two, and Ann bought ten hats`."""
    good = discourse.noun_ellipsis(g, g.name(), g.name())
    comma = next(i for i, word in enumerate(good.words) if word.form == ",")
    number = next(i for i, word in enumerate(good.words) if word.upos == "NUM")
    words = list(good.words)
    moved = words[number + 1 : comma]
    order = [*words[: number + 1], *words[comma:-1], *moved, words[-1]]
    return good, Sentence(tuple(order))


def _subject_case(g: Grammar) -> Pair:
    phrase = g.pronoun(g.pick("mf"), g.number())
    wrong = PRONOUNS[phrase.gender, phrase.number][1]
    clause = g.clause(phrase, g.transitive(simple=True), Form("past"))
    return _swap(finish(clause.words, clause.root), phrase.head, wrong)


def _object_case(g: Grammar) -> Pair:
    phrase = g.pronoun(g.pick("mf"), g.number(), 1)
    wrong = PRONOUNS[phrase.gender, phrase.number][0]
    predicate = g.transitive("person", phrase)
    predicate.complements.append(Word(g.pick(lexicon.MANNER), "ADV", "advmod", predicate.head))
    clause = g.clause(_noun(g), predicate, Form("past"))
    return _swap(finish(clause.words, clause.root), phrase.head, wrong)


_Paradigm = Callable[[Grammar], "Pair | None"]

PARADIGMS: dict[str, dict[str, _Paradigm]] = {
    "subject_verb_agreement": {
        "simple_agreement": _simple_agreement,
        "auxiliary_agreement": _auxiliary_agreement,
        "irregular_noun_agreement": _irregular_noun_agreement,
        "coordinated_subject_agreement": _coordinated_agreement,
        "sentential_complement_agreement": _complement_agreement,
        "shared_subject_agreement": _shared_subject_agreement,
    },
    "agreement_across_attractor": {
        "pp_attractor": _pp_attractor,
        "subject_relative_attractor": _subject_relative_attractor,
        "object_relative_attractor": _object_relative_attractor,
        "inside_object_relative": _inside_object_relative,
    },
    "determiner_noun_agreement": {
        "determiner_noun": _determiner_noun,
        "determiner_adjective_noun": _determiner_adjective_noun,
        "determiner_irregular_noun": _determiner_irregular_noun,
    },
    "quantifiers": {
        "quantifier_number": _quantifier_number,
        "existential_there_quantifier": _existential_quantifier,
        "existential_there_agreement": _existential_agreement,
    },
    "anaphor_agreement": {
        "anaphor_gender": _anaphor_gender,
        "anaphor_number": _anaphor_number,
        "anaphor_number_across_pp": _anaphor_across_pp,
    },
    "binding": {"anaphor_domain": _anaphor_domain},
    "npi_licensing": {
        "npi_ever_negative_subject": _npi_ever,
        "npi_any_negative_subject": _npi_any,
        "npi_any_negation": _npi_negation,
        "npi_scope": _npi_scope,
    },
    "argument_structure": {
        "needless_object": _needless_object,
        "missing_object": _missing_object,
        "passive": _passive,
    },
    "s-selection": {"animate_subject": _animate_subject},
    "irregular_forms": {"irregular_participle": _participle, "irregular_past": _past_form},
    "verb_form": {"modal_base": _modal_base, "do_support_base": _do_support_base, "temporal_adverb": _temporal},
    "filler_gap_dependency": {
        "wh_with_gap": _wh_with_gap,
        "that_without_gap": _that_without_gap,
        "wh_question_gap": _question_gap,
    },
    "question_formation": {"subject_auxiliary_inversion": _inversion},
    "ellipsis": {
        "ellipsis_agreement": _ellipsis_agreement,
        "ellipsis_auxiliary": _ellipsis_auxiliary,
        "noun_ellipsis": _noun_ellipsis,
    },
    "case": {"subject_case": _subject_case, "object_case": _object_case},
}
"""Phenomenon → paradigm → builder, named as in BLiMP where BLiMP has the paradigm."""


def _records(phenomenon: str, paradigm: str, build: _Paradigm, n_pairs: int, seed: int) -> Iterator[dict[str, Any]]:
    grammar = Grammar(random.Random(f"{paradigm}-{seed}"))
    good_sentences: set[str] = set()
    for _ in range(_MAX_TRIES):
        if len(good_sentences) == n_pairs:
            return
        pair = build(grammar)
        if pair is None:
            continue
        good, bad = (sentence.text for sentence in pair)
        if (
            good == bad
            or good in good_sentences
            or discourse.part_of(good) != "evaluation"
            or discourse.part_of(bad) == "train"
        ):
            continue
        good_sentences.add(good)
        yield {
            "sentence_good": good,
            "sentence_bad": bad,
            "field": "syntax",
            "linguistics_term": phenomenon,
            "UID": paradigm,
            "simple_LM_method": True,
            "pairID": str(len(good_sentences) - 1),
        }
    raise ValueError(f"paradigm {paradigm!r} gives only {len(good_sentences)} distinct pairs; ask for fewer than {n_pairs}")


def minimal_pairs(n_pairs: int = 50, seed: int = 0) -> list[dict[str, Any]]:
    """`n_pairs` distinct records of every paradigm, the same for the same seed."""
    return [
        record
        for phenomenon, paradigms in PARADIGMS.items()
        for paradigm, build in paradigms.items()
        for record in _records(phenomenon, paradigm, build, n_pairs, seed)
    ]
