"""The embedded language: lexicon, trees, documents and their parts."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from actstore.builtin import lexicon, world
from actstore.builtin.discourse import documents, part_of
from actstore.builtin.grammar import VERB_BY_LEMMA, Form, Grammar, flip_number
from actstore.builtin.syntax import Word, finish

DEPRELS = {
    "root",
    "nsubj",
    "nsubj:pass",
    "obj",
    "iobj",
    "obl",
    "obl:agent",
    "ccomp",
    "xcomp",
    "advcl",
    "acl:relcl",
    "amod",
    "det",
    "nummod",
    "nmod",
    "nmod:poss",
    "case",
    "mark",
    "aux",
    "aux:pass",
    "cop",
    "advmod",
    "cc",
    "conj",
    "punct",
    "expl",
}
UPOS = {"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "VERB", "X"}


@pytest.fixture(scope="module")
def sample():
    return [s for part in ("train", "extraction") for d in itertools.islice(documents(part, 3), 300) for s in d.sentences]


def test_lexicon_is_large_enough():
    assert len(lexicon.lemmas()) >= 800


@pytest.mark.parametrize(
    ("lemma", "forms"),
    [
        ("run", ("runs", "ran", "run", "running")),
        ("panic", ("panics", "panicked", "panicked", "panicking")),
        ("cry", ("cries", "cried", "cried", "crying")),
        ("eat", ("eats", "ate", "eaten", "eating")),
        ("watch", ("watches", "watched", "watched", "watching")),
        ("see", ("sees", "saw", "seen", "seeing")),
        ("have", ("has", "had", "had", "having")),
        ("forget", ("forgets", "forgot", "forgotten", "forgetting")),
        ("admit", ("admits", "admitted", "admitted", "admitting")),
        ("hope", ("hopes", "hoped", "hoped", "hoping")),
    ],
)
def test_inflection(lemma, forms):
    verb = VERB_BY_LEMMA[lemma]
    assert (verb.present, verb.past, verb.participle, verb.gerund) == forms


def test_plurals():
    plural = {noun.lemma: noun.plural for nouns in lexicon.NOUNS.values() for noun in nouns}
    expected = {"city": "cities", "box": "boxes", "wife": "wives", "sheep": "sheep", "child": "children", "monkey": "monkeys"}
    assert {lemma: plural[lemma] for lemma in expected} == expected


def test_every_sentence_is_one_labelled_tree(sample):
    for sentence in sample:
        heads = sentence.heads
        assert heads.count(0) == 1
        for start in range(1, len(heads) + 1):
            path, node = set(), start
            while node:
                assert node not in path, f"cycle in {sentence.text}"
                path.add(node)
                node = heads[node - 1]
        assert {word.deprel for word in sentence.words} <= DEPRELS
        assert {word.upos for word in sentence.words} <= UPOS


def test_spans_cut_the_words_out_of_the_text(sample):
    for sentence in sample:
        assert [sentence.text[a:b] for a, b in sentence.spans] == [word.form for word in sentence.words]


def test_the_sample_has_every_construction(sample):
    relations = Counter(word.deprel for sentence in sample for word in sentence.words)
    assert set(relations) == DEPRELS
    forms = Counter(word.form.lower() for sentence in sample for word in sentence.words)
    for form in ("not", "any", "ever", "themselves", "who", "what", "that", "every", "there", "too", "does", "by"):
        assert forms[form] > 5, form


def test_present_tense_verbs_agree_with_plain_subjects(sample):
    """An independent check of agreement: bare noun subject directly before a full verb."""
    singular = {noun.lemma for nouns in lexicon.NOUNS.values() for noun in nouns if noun.lemma != noun.plural}
    plural = {noun.plural for nouns in lexicon.NOUNS.values() for noun in nouns if noun.lemma != noun.plural}
    present = {verb.present for verb in VERB_BY_LEMMA.values()}
    bases = {verb.lemma for verb in VERB_BY_LEMMA.values() if verb.lemma not in (verb.past, verb.participle)}
    n_checked = 0
    for sentence in sample:
        for noun, verb in itertools.pairwise(sentence.words):
            if noun.deprel == "nsubj" and noun.form in singular | plural and verb.upos == "VERB" and noun.head is verb:
                coordinated = any(word.head is noun and word.deprel == "conj" for word in sentence.words)
                if not coordinated and verb.form in present | bases and sentence.words[0].upos != "AUX":
                    inverted = any(w.head is verb and w.deprel == "aux" for w in sentence.words)
                    if not inverted:
                        assert (noun.form in singular) == (verb.form in present), sentence.text
                        n_checked += 1
    assert n_checked > 100


def test_flip_number_is_an_involution():
    for lemma, verb in VERB_BY_LEMMA.items():
        word = Word(verb.present, "VERB", lemma=lemma)
        flipped = Word(flip_number(word), "VERB", lemma=lemma)
        assert (flipped.form, flip_number(flipped)) == (lemma, verb.present)


def test_clauses_by_hand():
    grammar = Grammar(random.Random(0))

    def say(number, form, **order):
        noun = next(n for n in lexicon.NOUNS["person"] if n.lemma == "child")
        subject = grammar.simple_np(noun=noun, number=number, determiner="the", modifiers=0.0)
        predicate = grammar.intransitive(adjuncts=False)
        predicate.verb, predicate.head = VERB_BY_LEMMA["swim"], Word("swim", "VERB", lemma="swim")
        clause = grammar.clause(subject, predicate, form, **order)
        return finish(clause.words, clause.root, "?" if order else ".").text

    assert say("sg", Form()) == "The child swims."
    assert say("pl", Form(negated=True)) == "The children do not swim."
    assert say("pl", Form("past", "perfect")) == "The children had swum."
    assert say("sg", Form("present", "progressive"), inverted=True) == "Is the child swimming?"
    assert say("sg", Form("past"), inverted=True) == "Did the child swim?"
    assert say("pl", Form(modal="must", negated=True)) == "The children must not swim."


def test_documents_repeat_by_seed_and_differ_between_seeds():
    first, repeated, reseeded = (next(itertools.islice(documents("train", seed), 7, None)).text for seed in (1, 1, 2))
    assert first == repeated != reseeded


def test_parts_share_no_sentence():
    texts = {
        part: {s.text for d in itertools.islice(documents(part, 9), 400) for s in d.sentences}
        for part in ("train", "extraction", "evaluation")
    }
    assert not texts["train"] & texts["extraction"]
    assert not texts["train"] & texts["evaluation"]
    assert not texts["extraction"] & texts["evaluation"]
    assert all(part_of(text) == part for part, sentences in texts.items() for text in sentences)


def test_no_value_of_a_relation_is_a_better_guess_than_another():
    for relation in world.RELATIONS:
        counts = Counter(fact.value for fact in world.facts() if fact.relation == relation)
        assert len(set(counts.values())) == 1, relation


def test_training_text_states_every_fact():
    facts_stated = set()
    values = {(f.relation, f.subject): f.value for f in world.facts()}
    text = " ".join(d.text for d in itertools.islice(documents("train", 100), 5000))
    for (relation, subject), value in values.items():
        fact = next(f for f in world.facts_of(subject) if f.relation == relation)
        if f"{world.stem(fact)} {world.ending(relation, value)}" in text:
            facts_stated.add((relation, subject))
    assert len(facts_stated) > 0.9 * len(values)
