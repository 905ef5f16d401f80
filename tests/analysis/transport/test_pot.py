"""POT is loaded without torch."""

from __future__ import annotations

import os
import subprocess
import sys


def test_pot_brings_no_torch():
    """In a process that has not imported it; the environment is as before."""
    code = """
import os, sys
before = dict(os.environ)
import xarray as xr
from analysis.transport.two_samples import distribution_distance
a = xr.DataArray([[0.0, 1.0]], dims=("neuron", "token"))
assert distribution_distance(a, a + 2)["transport_distance"].item() == 2
assert "ot" in sys.modules and "torch" not in sys.modules
assert dict(os.environ) == before
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
