"""Ctrl-C and SIGTERM end a command in one line, while it is still loading as well as later."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from actstore.signals import hidden_signal

COMMANDS = {
    "actstore": [
        "actstore",
        "extract",
        "--model",
        "pico-neox",
        "--checkpoints",
        "all",
        "--tokens",
        "16384",
        "--quiet",
        "--store",
    ],
    "analysis": ["analysis", "entanglement", "--store", "nowhere.zarr", "--out"],
    "reports": ["reports", "nowhere.toml", "--runs"],
}


@pytest.mark.parametrize("program", COMMANDS)
@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_a_signal_while_libraries_are_loaded(tmp_path, program, number, code, said):
    ready = "import sys; sys.path.insert(0, '.'); import {0}; print('up', flush=True); sys.exit({0}.main(sys.argv[1:]))"
    module, *arguments = COMMANDS[program]
    module = {"actstore": "actstore.cli.main", "analysis": "analysis.__main__", "reports": "reports.__main__"}.get(
        module, module
    )
    process = subprocess.Popen(
        [sys.executable, "-c", ready.format(module), *arguments, str(tmp_path / "out")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.15)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (code, f"{program}: {said}\n")


def test_a_terminated_extraction_says_that_what_is_finished_is_kept(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", *COMMANDS["actstore"], str(tmp_path / "s.zarr")], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "s.zarr.partial" / "ledger").glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143
    assert error == "actstore: terminated; what is finished is kept, and the same command goes on from there\n"


def test_a_signal_that_another_error_hides_is_found():
    """torch's modes fail on their own when a Ctrl-C comes in the midst of them."""

    def cleared_away():
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("trying to pop from empty mode stack")

    with pytest.raises(RuntimeError) as caught:
        cleared_away()
    assert isinstance(hidden_signal(caught.value), KeyboardInterrupt)
    assert hidden_signal(ValueError("x")) is None
