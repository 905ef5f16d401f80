"""Mixed models of the size of an ablation, against lme4 where R has it.

python -m benchmarks.mixed_models --rounds 3
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.surprisal.fitting import fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning, MixedModel
from benchmarks.memory import peak, reset_peak
from benchmarks.sizes import parsed

FORMULA = "delta ~ condition * upos + log_frequency + position + n_pieces + depth"
_R = """
suppressMessages(library(lme4))
data <- read.csv("{path}", stringsAsFactors = TRUE)
time <- system.time(model <- lmer(
  delta ~ condition * upos + log_frequency + position + n_pieces + depth + (1 | word_type) + (1 | document), data = data))
cat("TIME", time[["elapsed"]], time[["user.self"]] + time[["sys.self"]], as.numeric(logLik(model)), "\\n")
cat("FIXED", fixef(model)[["conditionc3:uposP14"]], sqrt(vcov(model)["conditionc3:uposP14", "conditionc3:uposP14"]), "\\n")
cat("SD", sqrt(unlist(VarCorr(model)))[c("word_type", "document")], sigma(model), "\\n")
"""


def word_table(n: int, n_types: int, n_documents: int, seed: int = 0) -> pd.DataFrame:
    """Words by a power law over types × documents, 4 conditions × 15 parts of speech: 64 fixed effects."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, n_types + 1) ** -0.9
    word = np.concatenate([np.arange(n_types), rng.choice(n_types, p=share / share.sum(), size=n - n_types)])
    document, condition = rng.integers(n_documents, size=n), rng.integers(4, size=n)
    upos = rng.integers(15, size=n_types)[word]
    covariates = {
        "log_frequency": np.log(share)[word] + rng.normal(0, 0.1, n),
        "position": rng.integers(512, size=n),
        "n_pieces": rng.integers(1, 5, size=n),
        "depth": rng.integers(0, 9, size=n),
    }
    delta = 0.1 * condition * (upos < 7) + 0.05 * covariates["n_pieces"] + rng.normal(0, 0.4, n_types)[word]
    delta = delta + rng.normal(0, 0.2, n_documents)[document] + rng.normal(size=n)
    labels = {
        "condition": np.array([f"c{k}" for k in range(4)])[condition],
        "upos": np.array([f"P{k:02}" for k in range(15)])[upos],
        "word_type": np.char.add("w", word.astype(str)),
        "document": np.char.add("d", document.astype(str)),
    }
    factors = {name: pd.Categorical(values) for name, values in labels.items()}
    return pd.DataFrame({**covariates, "delta": delta, **factors})


def ours(table: pd.DataFrame, robust: bool) -> tuple[float, float, MixedModel]:
    """Wall and processor seconds, and the model."""
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        model = fit_surprisal_model(table, FORMULA, robust=robust)
        model.fixed_effects()
    return time.perf_counter() - wall, time.process_time() - cpu, model


def lme4(table: pd.DataFrame) -> dict[str, list[float]] | None:
    """What lme4 says, or None without R and lme4."""
    if not shutil.which("Rscript"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        table.to_csv(path, index=False)
        done = subprocess.run(["Rscript", "-e", _R.format(path=path)], capture_output=True, text=True, check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0]: [float(value) for value in line[1:]] for line in lines} if done.returncode == 0 else None


def compare(table: pd.DataFrame, n_rounds: int) -> None:
    """Both by turns, and whether they agree."""
    print(f"{len(table):,} rows, 64 fixed effects, 12,000 word types × 400 documents; {FORMULA}")
    ratios = []
    for number in range(1, n_rounds + 1):
        wall, cpu, model = ours(table, robust=False)
        robust_wall, _, _ = ours(table, robust=True)
        line = f"  round {number}: ours {wall:.2f} s (processor {cpu:.2f} s); with robust intervals {robust_wall:.2f} s"
        reference = lme4(table)
        if reference:
            their_wall, their_cpu, _ = reference["TIME"]
            ratios.append((their_wall / wall, their_cpu / cpu))
            line += f"; lme4 {their_wall:.2f} s (processor {their_cpu:.2f} s): {_times(*ratios[-1])}"
        print(line, flush=True)
    if reference:
        print(f"  median: {_times(*(statistics.median(column) for column in zip(*ratios, strict=True)))}")
        report_parity(model, reference)
    else:
        print("  R with lme4 is not here: nothing to compare with")


def _times(wall: float, processor: float) -> str:
    return f"{wall:.1f}× wall, {processor:.1f}× processor"


def report_parity(model: MixedModel, reference: dict[str, list[float]]) -> None:
    """Our numbers beside those of lme4."""
    row = model.fixed_effects().set_index("effect").loc["condition[T.c3]:upos[T.P14]"]
    sd = [*(float(c[0, 0]) ** 0.5 for c in model.fit.covariances), model.fit.residual_variance**0.5]
    print("  parity                     ours          lme4")
    print(f"    log-likelihood     {model.log_likelihood:.4f}  {reference['TIME'][2]:.4f}")
    print(f"    c3:P14             {row['estimate']:.8f}  {reference['FIXED'][0]:.8f}")
    print(f"    its standard error {row['standard_error']:.8f}  {reference['FIXED'][1]:.8f}")
    for name, our_sd, their_sd in zip(("word_type sd", "document sd", "residual sd"), sd, reference["SD"], strict=True):
        print(f"    {name:18} {our_sd:.8f}  {their_sd:.8f}")


def measure_alone(table: pd.DataFrame, robust: bool) -> None:
    """Time and memory of our fit."""
    base = reset_peak()
    wall, cpu, _ = ours(table, robust)
    intervals = "with robust intervals" if robust else "without robust intervals"
    memory = f"memory {peak() / 2**30:.2f} GiB, {(peak() - base) / 2**30:.2f} GiB of it for the fit"
    print(f"{len(table):,} rows {intervals}: {wall:.2f} s (processor {cpu:.2f} s), {memory}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times both are run, in turn (3)")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the comparison (100000)")
    parser.add_argument("--many-rows", type=int, default=1_000_000, help="rows of our fit alone (1000000)")
    options = parsed(parser, arguments, rounds=1, rows=15_000, many_rows=20_000)
    compare(word_table(options.rows, 12_000, 400), options.rounds)
    table = word_table(options.many_rows, 12_000, 400)
    for robust in (False, True):
        measure_alone(table, robust)


if __name__ == "__main__":
    main()
