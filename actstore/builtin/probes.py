"""Non-grammatical probes of the embedded models, as multiple choice.

Owns two probes whose options are all grammatical: facts of the embedded world, which a model must
remember from training, and recall of a string that the context states.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from actstore.builtin import lexicon, world
from actstore.builtin.discourse import code_of_part, code_sentence

N_OPTIONS = 4


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A context and its possible continuations (each begins with a space); `answer` is an index."""

    probe: str
    item: str
    context: str
    options: tuple[str, ...]
    answer: int


def _item(rng: random.Random, probe: str, name: str, context: str, right: str, wrong: list[str]) -> MultipleChoice:
    options = [right, *wrong]
    rng.shuffle(options)
    return MultipleChoice(probe, name, context, tuple(f" {option}." for option in options), options.index(right))


def fact_probes(n_items: int | None = None, seed: int = 0) -> list[MultipleChoice]:
    """Facts of the world (320 in all), with three other values of the same relation as distractors."""
    rng = random.Random(f"facts-{seed}")
    facts = list(world.facts())
    chosen = facts if n_items is None else rng.sample(facts, min(n_items, len(facts)))
    items = []
    for fact in chosen:
        wrong = rng.sample([value for value in fact.options if value != fact.value], N_OPTIONS - 1)
        right, *distractors = (world.ending(fact.relation, value) for value in (fact.value, *wrong))
        items.append(_item(rng, "facts", f"{fact.relation}-{fact.subject}", world.stem(fact), right, distractors))
    return items


def recall_probes(n_items: int = 200, seed: int = 0) -> list[MultipleChoice]:
    """Random strings stated once, to be repeated; distractors are strings of the same form."""
    rng = random.Random(f"recall-{seed}")
    containers = [noun.lemma for noun in lexicon.NOUNS["object"]]
    items = []
    for index in range(n_items):
        boxes = rng.sample(containers, 3)
        codes = [code_of_part(rng, box, "evaluation") for box in boxes]
        box_index = rng.randrange(3)
        statements = [code_sentence(box, code, repeated=False).text for box, code in zip(boxes, codes, strict=True)]
        context = " ".join([*statements, f"Again the code of the {boxes[box_index]} was"])
        wrong = [code_of_part(rng, boxes[box_index], "evaluation") for _ in range(N_OPTIONS - 1)]
        items.append(_item(rng, "recall", f"{index}", context, codes[box_index], wrong))
    return items


def multiple_choice(seed: int = 0) -> list[MultipleChoice]:
    """Both probes."""
    return fact_probes(seed=seed) + recall_probes(seed=seed)


PROBES = {"facts": fact_probes, "recall": recall_probes}
"""Name → the items of a probe, drawn by seed."""
