from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from actstore.model import sources
from actstore.model.arithmetic import fix_summation_order

# Products of several shapes, and a small model's surprisals, at one to four threads.
CODE = """
import numpy as np, torch
from actstore.model import sources
from actstore.model import scoring
model = sources.load(sources.resolve("pico-neox"), 4000, torch.float32)
torch.manual_seed(0)
ids = [np.arange(2, 2 + n) for n in (3, 40, 97, 128)]
rounds = []
for n_threads in (1, 2, 3, 4):
    torch.set_num_threads(n_threads)
    torch.manual_seed(0)
    products = [torch.randn(m, k) @ torch.randn(k, n) for m, k, n in ((128, 128, 512), (333, 128, 700), (3, 768, 3072))]
    rounds.append(products + list(map(torch.from_numpy, scoring.sequence_surprisals(model, ids))))
print(all(torch.equal(a, b) for values in rounds[1:] for a, b in zip(rounds[0], values, strict=True)))
"""


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch multiplies by another library here")
def test_a_model_is_the_same_at_any_number_of_threads():
    """With the instructions of processors without AVX-512, whose products depend on the number of threads by default."""
    env = os.environ | {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    process = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False)
    assert (process.stdout, process.returncode) == ("True\n", 0), process.stderr


def test_a_users_switch_is_kept(monkeypatch):
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    fix_summation_order()
    assert os.environ["MKL_CBWR"] == "COMPATIBLE"
    monkeypatch.delenv("MKL_CBWR")
    sources.load(sources.resolve("pico-neox"), 4000, torch.float32)
    assert os.environ["MKL_CBWR"] == "AUTO,STRICT"
