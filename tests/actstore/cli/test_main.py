"""For a user every problem is one clear line and the right exit code, and nothing is half-written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actstore.cli.main import main
from tests.helpers import NO_TORCH

EXTRACT = ["extract", "--quiet", "--model", "pico-neox", "--tokens", "400", "--store"]


def test_a_complete_store_is_not_extracted_again(tmp_path, capsys):
    assert main([*EXTRACT, str(tmp_path / "s.zarr")]) == 0
    assert main([*EXTRACT, str(tmp_path / "s.zarr")]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("already complete, nothing to do")
    assert main(["info", str(tmp_path / "s.zarr")]) == 0
    assert "preactivation (checkpoint, layer, token, neuron) float16" in capsys.readouterr().out


def test_models_lists_the_suite(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("pico-neox") and "4000" in line and " 512 " in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "pico-noex"], "unknown model 'pico-noex': did you mean 'pico-neox'"),
        (["--model", "pico-neox", "--checkpoints", "5"], "unknown checkpoint of pico-neox '5'"),
        (["--model", "pico-neox", "--corpus", "bultin"], "unknown corpus 'bultin': did you mean 'builtin'"),
        (["--model", "pico-neox", "--corpus", "{empty}"], "holds no text"),
        (["--model", "pico-neox", "--window", "400"], "--window 400 exceeds the context"),
        (["--model", "pico-neox", "--tokens", "3"], "raise --tokens"),
        (["--model", "pico-neox", "--tokens", "all"], "endless"),
        (["--model", "pico-neox", "--layers", "2,7"], "layer 7 is out of range: the model has layers 0 to 3"),
        (["--model", "pico-neox", "--layers", "first"], "is not a layer or start:stop"),
        (["--model", "pico-neox", "--device", "cuda:9"], "device 'cuda:9' cannot be used"),
        (["--model", "pico-neox", "--corpus", "{line}", "--documents", "line"], "no document has as few as 16,384 tokens"),
        (["--model", "pico-neox", "--corpus", "{latin}"], "is not UTF-8 (byte 3)"),
        (["--model", "pico-neox", "--corpus", "{line}", "--spacy", "xx_none"], "the pipeline xx_none is not installed"),
        (["--model", "./nowhere"], "model ./nowhere: no such file or folder"),
        (["--model", "x" * 300], "unknown model 'xxx"),
        (["--model", "~nosuchuser/x"], "model ~nosuchuser/x: no such file or folder"),
        (["--model", "runs/a/model"], "model runs/a/model: no such file or folder"),
        (["--model", "mine.gguf"], "model mine.gguf: no such file or folder"),
        (["--model", "pico-neox", "--corpus", "novel.txt"], "corpus novel.txt: no such file or folder"),
        (["--model", "pico-neox", "--corpus", "texts/novel"], "corpus texts/novel: no such file or folder"),
        (["--model", "pico-neox", "--layers", "0:5:00"], "--layers '0:5:00' is not a layer or start:stop[:every]"),
        (["--model", "pico-neox", "--layers", "9" * 5000], "is not a layer or start:stop"),
        (["--model", "pico-neox", "--layers", "0:999999999"], "layer 999999999 is out of range"),
        (["--model", "pico-neox", "--checkpoints", "9" * 5000], "unknown checkpoint of pico-neox '999"),
        (["--model", "pico-neox", "--corpus", ""], "unknown corpus ''"),
        (["--model", ""], "unknown model ''"),
        (["--model", "pico-neox", "--corpus", "x" * 300], "unknown corpus 'xxx"),
        (["--model", "pico-neox", "--discard-downloads", "--scheduler", "local"], "does not go with --scheduler"),
        (["--model", "{empty}"], "is neither a model folder nor a .gguf file"),
    ],
)
def test_problems_are_one_line_with_exit_code_2(tmp_path, capsys, arguments, message):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    (tmp_path / "line.txt").write_text("\n".join(2 * ["one giant line " * 20_000]))
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    for name in ("empty", "line", "latin"):
        arguments = [argument.replace(f"{{{name}}}", str(tmp_path / f"{name}.txt")) for argument in arguments]
    assert main(["extract", "--quiet", *arguments, "--store", str(tmp_path / "out" / "s.zarr")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("command", ["info", "verify"])
@pytest.mark.parametrize("path", [".", "/", "no/such", "x" * 300])
def test_a_path_without_a_store(command, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([command, path]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no store at" in error


def test_an_existing_store_with_another_configuration(tmp_path, capsys):
    assert main([*EXTRACT, str(tmp_path / "s.zarr")]) == 0
    assert main([*EXTRACT, str(tmp_path / "s.zarr"), "--window", "64"]) == 2
    assert "window: stored 128, asked 64" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tokens", "0"],
        ["--tokens", "many"],
        ["--window", "1"],
        ["--seed", "-1"],
        ["--dtype", "int8"],
        ["--tokens", "9" * 20],
        ["--worker", "1/" + "9" * 5000],
    ],
)
def test_wrong_values_are_refused_by_the_parser(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*EXTRACT, "x.zarr", *arguments])
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_shows_examples(capsys):
    for arguments in (["--help"], ["extract", "--help"], ["ablate", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert "example" in capsys.readouterr().out


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m actstore models | head -n 1"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert process.stdout.startswith("name")
    assert process.stderr == ""


def test_without_torch_one_line_says_so():
    code = f"{NO_TORCH}\nimport actstore.cli.main\nsys.exit(actstore.cli.main.main(['models']))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.splitlines() == ["actstore: this needs torch, which is not installed; pip install torch transformers"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--tokens", "-1", "tokens must be 1 to 100,000,000, or all, got -1"),
        ("--tokens", "0", "tokens must be 1 to 100,000,000, or all, got 0"),
        ("--tokens", "9" * 20, f"tokens must be 1 to 100,000,000, or all, got {'9' * 20}"),
        ("--device", "meta", "device must be cpu, cuda, cuda:1, mps or xpu, got 'meta'"),
    ],
)
def test_values_are_refused_by_the_message_of_a_design(option, value, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*EXTRACT, "x.zarr", option, value])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
