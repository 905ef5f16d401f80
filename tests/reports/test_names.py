"""Folders of models: as short as can be, and never shared."""

from __future__ import annotations

import pytest

from actstore.errors import ActstoreError
from reports.names import model_names


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (("pico-neox", "some/Model_1B.gguf", "/data/my model"), ("pico-neox", "Model_1B", "my-model")),
        (("A/m", "B/m"), ("A--m", "B--m")),
        (("A/m", "B/m", "C/n"), ("A--m", "B--m", "n")),
        (("m", "A/m"), ("m", "A--m")),
        (("A/M", "B/m"), ("A--M", "B--m")),
        (("m.gguf", "A/m"), ("m.gguf", "A--m")),
    ],
)
def test_the_base_name_serves_until_two_share_it(models, expected):
    assert tuple(model_names(models).values()) == expected
    assert tuple(model_names(models)) == models


def test_paths_of_one_base_name_have_a_digest_that_stays():
    names = model_names(("/x/m", "/y/m", "A/m"))
    assert all(name.startswith("m-") and len(name) == 10 for name in (names["/x/m"], names["/y/m"]))
    assert len(set(names.values())) == 3
    assert model_names(("/y/m", "/z/m"))["/y/m"] == names["/y/m"], "whatever the others are"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("A/m", "B/m", "A/m"), "names 'A/m' twice"),
        (("A/m", "B/m", "A--m"), "the models A/m and A--m would share the folder A--m"),
        (("a/m", "A/m"), "the models a/m and A/m would share the folder"),
    ],
)
def test_models_that_would_share_a_folder_are_refused(models, message):
    with pytest.raises(ActstoreError, match=message):
        model_names(models)
