from __future__ import annotations

from actstore.store.schema import FIELDS


def test_every_field_is_described():
    assert all(spec.long_name and spec.units for spec in FIELDS.values())
