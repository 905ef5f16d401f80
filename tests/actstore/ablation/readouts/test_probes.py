from __future__ import annotations

import numpy as np

from actstore.ablation.readout import Subject
from actstore.ablation.readouts.probes import ChoiceScorer
from actstore.builtin.probes import MultipleChoice
from tests.actstore.model.test_scoring import surprisal_of_pieces as surprisal


def test_option_score_is_the_difference_of_two_texts(neox, neox_tokenizer):
    item = MultipleChoice("facts", "0", "Adam lives in", (" Marlow.", " Denby."), 0)
    (scores,) = ChoiceScorer(Subject(neox_tokenizer, 256), [item]).read(neox)["log_probability_option"]
    context = surprisal(neox, neox_tokenizer, item.context)[0].sum()
    whole = [surprisal(neox, neox_tokenizer, item.context + option)[0].sum() for option in item.options]
    np.testing.assert_allclose(scores, context - np.array(whole), atol=1e-4)
