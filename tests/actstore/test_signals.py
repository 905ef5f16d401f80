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
    "actstore": "actstore extract --model pico-neox --checkpoints all --tokens 16384 --quiet --store".split(),
    "analysis": "analysis entanglement --store nowhere.zarr --out".split(),
    "reports": "reports nowhere.toml --runs".split(),
}


@pytest.mark.parametrize("program", COMMANDS)
@pytest.mark.parametrize(
    ("number", "code", "message"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_while_libraries_are_loaded(tmp_path, program, number, code, message):
    ready = "import sys; sys.path.insert(0, '.'); import {0}; print('up', flush=True); sys.exit({0}.main(sys.argv[1:]))"
    package, *arguments = COMMANDS[program]
    module = {"actstore": "actstore.cli.main"}.get(package, f"{package}.__main__")
    process = subprocess.Popen(
        [sys.executable, "-c", ready.format(module), *arguments, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(0.15)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (code, f"{program}: {message}\n")


def test_a_terminated_extraction_says_that_finished_blocks_are_kept(tmp_path):
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
    assert error == "actstore: terminated; finished work is kept, and the same command continues from there\n"


def test_a_signal_that_another_error_hides_is_found():
    """torch raises an error of its own when Ctrl-C interrupts one of its modes."""

    def clean_up():
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("trying to pop from empty mode stack")

    with pytest.raises(RuntimeError) as caught:
        clean_up()
    assert isinstance(hidden_signal(caught.value), KeyboardInterrupt)
    assert hidden_signal(ValueError("x")) is None
