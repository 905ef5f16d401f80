"""Grammars of what the package reads, valid for the most part and wrong in one place or two."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w
from hypothesis import strategies as st

from actstore.selection.record import _checksum as selection_checksum
from tests.campaign.runs import DESIGN, STUDY

FIFO: Final = b"<a pipe that nobody writes to>"
FOLDER: Final = b"<a folder>"
_RAW = {
    "@deep": "[" * 20_000 + "]" * 20_000,
    "@digits": "9" * 5_000,
    "@nan": "NaN",
    "@infinite": "1e999",
    "@half": '"\\ud800"',
    "@deep table": '{"a":' * 20_000 + "1" + "}" * 20_000,
}
"""Text of JSON that `json.dumps` does not write: a string that stands for it → the text."""
_TOML_RAW = {
    "@deep": "[" * 2_000 + "]" * 2_000,
    "@digits": "9" * 5_000,
    "@nan": "nan",
    "@infinite": "inf",
    "@half": '"\\u0000"',
    "@deep table": "{a=" * 2_000 + "1" + "}" * 2_000,
}


@dataclass(frozen=True)
class Example:
    """Files in the working folder, and a command that reads them."""

    files: Mapping[str, bytes]
    program: str
    arguments: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The command, and the beginning of the files."""
        files = "; ".join(f"{name}: {content[:120]!r}" for name, content in self.files.items() if len(content) < 100_000)
        return f"{' '.join((self.program, *self.arguments))[:300]} with {files[:300]}"


_WORDS = st.sampled_from(
    ["the", "dog", "dogs", "sees", "a", "cat", ".", "Ünï", "日本", "\u200b", "\ufffd", "x" * 400, "\x00", "\x85"]
)
_TEXT = st.lists(_WORDS, max_size=12).map(" ".join) | st.text(max_size=60)
_BYTES = _TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200)
_NUMBERS = (-1, 0, 1, 2, 10**6, 10**10, 2**31, 2**63, 2**64, -(2**63), 0.5, 2.0, -0.5, 1e308)
_STRINGS = ("", "x", "0", "-1", "~", "../outside", "main", "all", "cpu", "y" * 5_000)
_SCALAR = st.sampled_from([None, True, False, *_NUMBERS, *_STRINGS, *_RAW])
_VALUE = st.recursive(
    _SCALAR | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to each value, of at most a thousand values."""
    paths = [path] if path else []
    items = document.items() if isinstance(document, dict) else enumerate(document[:20]) if isinstance(document, list) else ()
    for key, value in items:
        paths += _paths(value, (*path, key))
    return paths[:1_000]


@st.composite
def mutated(draw: st.DrawFn, document: Any, n: int = 3) -> Any:
    """A document with up to `n` values changed, left out or added."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, n))):
        paths = _paths(document)
        if not paths:
            break
        *parent_path, key = draw(st.sampled_from(paths))
        parent = document
        for parent_key in parent_path:
            parent = parent[parent_key]
        match draw(st.integers(0, 5)):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[draw(st.text(max_size=8))] = draw(_VALUE)
            case _:
                parent[key] = draw(_VALUE)
    return document


def as_json(document: Any) -> bytes:
    """Its text, with values that no writer of JSON writes."""
    text = json.dumps(document)
    for name, raw in _RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode("utf-8", "surrogatepass")


def as_toml(document: Any) -> bytes:
    """Its text, with values that no writer of TOML writes."""
    text = tomli_w.dumps(_without_none(document))
    for name, raw in _TOML_RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text.encode("utf-8", "surrogatepass")


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value if part is not None] if isinstance(value, list) else value


def _corpus(name: str, content: bytes, *options: str) -> Example:
    files = ("--corpus", name, "--store", "out.zarr")
    return Example(
        {name: content}, "actstore", ("extract", "--quiet", "--model", "pico-neox", "--layers", "0", *files, *options)
    )


_AMOUNT = st.sampled_from([("--tokens", "40"), ("--tokens", "all"), ("--tokens", "1"), ("--tokens", "300", "--window", "2")])


def texts(prepared: Path) -> st.SearchStrategy[Example]:
    """Plain text, cut into documents in any way."""
    content = (
        _BYTES
        | st.lists(_BYTES, max_size=6).map(b"\n\n".join)
        | st.sampled_from([b"", b"\xff\xfe", b"a" * 2_000_000, FIFO, FOLDER])
    )
    cut = st.sampled_from(["file", "article", "paragraph", "line"])
    return st.builds(lambda c, cut, amount: _corpus("c.txt", c, "--documents", cut, *amount), content, cut, _AMOUNT)


def json_lines(prepared: Path) -> st.SearchStrategy[Example]:
    """JSON lines, some of them wrong."""
    record = st.builds(lambda text: {"text": text, "id": 1}, _TEXT | st.just("The dog sees the cat."))
    line = record.flatmap(lambda record: st.just(record) | mutated(record)).map(as_json) | _VALUE.map(as_json) | _BYTES
    content = st.lists(line, max_size=5).map(b"\n".join)
    return st.builds(lambda c, amount: _corpus("c.jsonl", c, *amount), content, _AMOUNT)


_COLUMN = st.sampled_from(
    ["1", "2", "3", "0", "1-2", "2-9", "1.1", "9" * 5_000, "_", "", "the", "DET", "-1", "SpaceAfter=No", "日"]
)


def conllu(prepared: Path) -> st.SearchStrategy[Example]:
    """CoNLL-U: sentences with wrong columns, heads in circles, and ranges of any kind."""
    row = st.builds(
        lambda i, form, head: "\t".join([str(i), form, form, "NOUN", "_", "_", str(head), "dep", "_", "_"]),
        st.integers(0, 4),
        _WORDS,
        st.integers(-1, 6),
    )
    wrong = st.lists(_COLUMN, min_size=8, max_size=11).map("\t".join)
    comment = st.sampled_from(["# newdoc id = x", "# newdoc", "# text = y", ""])
    content = st.lists(row | row | row | wrong | comment, max_size=12).map("\n".join).map(str.encode)
    deep = st.integers(100, 3_000).map(
        lambda n: "\n".join(f"{i}\ta\ta\tX\t_\t_\t{i + 1 if i < n else 0}\td\t_\t_" for i in range(1, n + 1)).encode()
    )
    return st.builds(lambda c, amount: _corpus("c.conllu", c, *amount), content | deep, _AMOUNT)


def brown(prepared: Path) -> st.SearchStrategy[Example]:
    """Tagged files of the Brown corpus."""
    token = st.sampled_from(
        ["The/at", "dog/nn", "sees/vbz", "./.", "a/b/c", "/", "//nn", "x/", "/nn", "and/or/cc", "x/fw-nn+bez*", "\x00/nn"]
    )
    line = st.lists(token, max_size=10).map(" ".join)
    content = st.lists(line | _TEXT, max_size=6).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
    return st.builds(lambda c, amount: _corpus("ca01", c, *amount), content, _AMOUNT)


def _bomb(size: int) -> bytes:
    return gzip.compress(b"a b\n" * (size // 4), 9)


def _zip(members: list[tuple[str, bytes]]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in dict(members).items():
            archive.writestr(name, content)
    return raw.getvalue()


def _broken(raw: bytes, index: int, bits: int) -> bytes:
    """With some bits of a byte flipped, or cut short where there is no such byte."""
    return raw[:index] + bytes([raw[index] ^ bits]) + raw[index + 1 :] if index < len(raw) else raw[: index // 2]


def archives(prepared: Path) -> st.SearchStrategy[Example]:
    """Compressed texts: cut short, changed, large beyond measure, with names that lead elsewhere."""
    member = st.tuples(
        st.sampled_from(["a.txt", "b.jsonl", "../outside/x.txt", "/tmp/x.txt", "a/b.conllu", "c.txt.gz", "ca01"]), _BYTES
    )
    zipped = st.lists(member, max_size=4).map(_zip)
    zipped |= st.sampled_from([2**20, 2**26, 2**29]).map(lambda size: _zip([("a.txt", b"a b\n" * (size // 4))]))
    gzipped = _BYTES.map(gzip.compress) | st.sampled_from([2**20, 2**26, 2**29]).map(_bomb) | _BYTES
    broken = st.builds(_broken, zipped | gzipped, st.integers(0, 200), st.integers(1, 255))
    return st.one_of(
        st.builds(lambda c, amount: _corpus("c.zip", c, *amount), zipped | broken, _AMOUNT),
        st.builds(
            lambda c, name, amount: _corpus(name, c, *amount),
            gzipped | broken,
            st.sampled_from(["c.txt.gz", "c.jsonl.gz"]),
            _AMOUNT,
        ),
    )


def _ablate(files: dict[str, bytes], *options: str) -> Example:
    return Example(files, "actstore", ("ablate", "--quiet", "--store", "out.zarr", *options))


_SELECTED = ("--model", "pico-neox", "--selection", "in/results/selections/top.json", "--tokens", "60", "--probes", "none")


class _Runs:
    """An object whose pickle runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("../outside/ran", "w"))


def pair_files(prepared: Path) -> st.SearchStrategy[Example]:
    """Minimal pairs: JSON lines, and pickled templates that may hold code."""
    record = st.builds(lambda g, b: {"sentence_good": g, "sentence_bad": b, "UID": "u", "linguistics_term": "l"}, _TEXT, _TEXT)
    good = st.just({"sentence_good": "The dog sees .", "sentence_bad": "The dog see .", "UID": "u"})
    line = (record | good).flatmap(lambda r: st.just(r) | mutated(r)).map(as_json) | _BYTES
    lines = st.lists(line, max_size=4).map(b"\n".join)
    templates = st.dictionaries(_TEXT, st.lists(st.tuples(_TEXT, _TEXT) | _VALUE, max_size=2), max_size=2).map(pickle.dumps)
    code = st.sampled_from(
        [pickle.dumps(_Runs()), pickle.dumps({"a": [(_Runs(), "b")]}), b"cos\nsystem\n(S'touch ../outside/ran'\ntR."]
    )
    skip = st.sampled_from([(), ("--skip-bad",)])
    return st.one_of(
        st.builds(lambda c, more: _ablate({"p.jsonl": c}, *_SELECTED, "--pairs", "p.jsonl", *more), lines, skip),
        st.builds(
            lambda c, more: _ablate({"p.pickle": c}, *_SELECTED, "--pairs", "p.pickle", *more), templates | code | _BYTES, skip
        ),
    )


def _with_checksum(value: Any) -> Any:
    """With a valid checksum, so that the checksum is not why it is refused."""
    if not isinstance(value, dict):
        return value
    fields = {key: field for key, field in value.items() if key != "checksum"}
    return {**fields, "checksum": selection_checksum(fields)}


def selections(prepared: Path) -> st.SearchStrategy[Example]:
    """Selection files with wrong values."""
    valid = json.loads((prepared / "base" / "results" / "selections" / "top.json").read_text())
    content = mutated(valid).map(_with_checksum).map(as_json) | mutated(valid).map(as_json) | _VALUE.map(as_json) | _BYTES
    options = ("--model", "pico-neox", "--selection", "s.json", "--tokens", "60", "--pairs", "none", "--probes", "none")
    pairs = ("pairs", "--store", "in/store.zarr", "--results", "results", "--selection", "s.json", "--pair-tokens", "64")
    return content.flatmap(
        lambda c: st.sampled_from([_ablate({"s.json": c}, *options), Example({"s.json": c}, "analysis", pairs)])
    )


_KEYS = {
    "fraction": [0.01, 0.0, -1, 2, "x"],
    "rule": ["top", "bottom", "random", "matched", "perplexity-matched", "file", "x"],
    "seeds": [1, 0, -3, 10**12],
    "scope": ["layer", "all", "x", []],
    "layer_groups": [0, 2, -1, 10**9],
    "tolerance": [0.005, -1, "@nan"],
    "checkpoint": ["same", "last", "64", "x"],
    "match": [["mean"], [], ["x"]],
    "interventions": [["negative-zero"], ["scale:0"], ["scale:@nan"], ["scale:1e999"], [], ["x"]],
    "statistic": ["wasserstein_distance", "mean", "x", ""],
}
_COHORT = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) | _SCALAR for key, values in _KEYS.items()})


def designs(prepared: Path) -> st.SearchStrategy[Example]:
    """Designs with wrong keys and values."""
    valid = tomllib.loads(DESIGN)
    with_cohort = _COHORT.map(lambda cohort: {**valid, "cohorts": [cohort]})
    content = (mutated(valid) | with_cohort).map(as_toml) | _BYTES
    return content.map(lambda c: _ablate({"d.toml": c}, "d.toml"))


def studies(prepared: Path) -> st.SearchStrategy[Example]:
    """Studies with wrong keys, values and names, run up to their first steps."""
    valid = tomllib.loads(STUDY)
    names = st.sampled_from(
        ["../../outside", "../outside", "..", ".", "/tmp/campaign-x", "a/b", "", "a\x00", "~", "-x", "x" * 300, "CON"]
    )
    named = st.builds(lambda n, m: {**valid, "name": n, "ablations": [{**valid["ablations"][0], "name": m}]}, names, names)
    content = (mutated(valid) | named).map(as_toml) | _BYTES
    dry = st.sampled_from([("--dry-run",), ("--dry-run",), ("--dry-run",), ()])
    return st.builds(lambda c, more: Example({"s.toml": c}, "reports", ("s.toml", "--runs", "runs", *more)), content, dry)


_PLAIN_TERMS = ("condition", "upos", "log_frequency", "position", "n_pieces", "word_class", "delta", "document", "1", "0", "-1")
_CALLS = ("C(upos)", "scale(position)", "center(position)", "poly(position, 2)", "bs(position, df=4)", "log(position)")
_ODD_TERMS = ("nothing", "(1 | document)", "(1|document)", "I(position**2)", "position^2", "`a b`", "", "{position}", "9" * 400)
_CODE = ("__import__('os').system('touch ../outside/ran')", "open('../outside/ran', 'w')", "().__class__", "{exit(3)}")
_TERM = st.sampled_from([*_PLAIN_TERMS, *_CALLS, "np.log(position)", *_ODD_TERMS, *_CODE])


def formulas(prepared: Path) -> st.SearchStrategy[Example]:
    """Formulas in Wilkinson's and R's notation, some with code that must not be run."""
    joined = st.builds(
        lambda terms, sign: sign.join(terms),
        st.lists(_TERM, max_size=4),
        st.sampled_from([" + ", " * ", ":", " - ", "/", "**", " | "]),
    )
    formula = (
        joined.map(lambda right: f"delta ~ {right}")
        | joined
        | st.text(max_size=30)
        | st.sampled_from(["~", "delta ~", "(" * 500, "a ~ b ~ c"])
    )
    random = st.sampled_from([("word_type", "document"), ("document",), ("nothing",), ("delta",), ("position",)])
    slopes = st.sampled_from([(), ("condition",), ("nothing",), ("position",)])

    def example(formula: str, random: tuple[str, ...], slopes: tuple[str, ...]) -> Example:
        more = ("--slopes", *slopes) if slopes else ()
        table = "in/words/surprisal_words.csv.gz"
        command = ("surprisal", "--table", table, "--out", "out", "--replicates", "2")
        return Example({}, "analysis", (*command, f"--formula={formula}", "--random", *random, *more))

    return st.builds(example, formula, random, slopes)


_AMOUNTS = ("", "-1", "0", "1", "2", "9" * 20, "9" * 5_000, "nan", "inf", "1e400", "0.5", "all", "none")
_SHARES = ("3/2", "1/1", "0/0")
_STEPS = ("main", "log", "0:4000:1000", "5:1:0", "0:5:00", "0,0", "64", "::", "::x")
_FILES = (
    "~",
    "~nobody",
    "/",
    "/dev/null",
    "/proc/self/mem",
    ".",
    "..",
    "in",
    "in/store.zarr",
    "in/ablation.zarr",
    "in/results",
)
_NAMES = ("in/results/neurons.csv", "x" * 300, "a", "\udce4", "日", "pico-neox", "top", "matched", "wasserstein_distance")
_SETTINGS = ("float64", "meta", "cuda", "mps", "{}", "%s", "x.{layer}", "{layer!r}", "{x}", "http://127.0.0.1:1")
_OPTION = st.sampled_from([*_AMOUNTS, *_SHARES, *_STEPS, *_FILES, *_NAMES, *_SETTINGS])
_COMMANDS: dict[tuple[str, ...], dict[str, str]] = {
    ("actstore", "extract"): {
        "--model": "pico-neox",
        "--checkpoints": "64",
        "--corpus": "builtin",
        "--tokens": "60",
        "--window": "32",
        "--seed": "0",
        "--layers": "0",
        "--dtype": "float16",
        "--compute-dtype": "float32",
        "--device": "cpu",
        "--documents": "line",
        "--spacy": "none",
        "--site": "",
        "--store": "out.zarr",
        "--worker": "1/1",
        "--quiet": "",
    },
    ("actstore", "plan"): {
        "--model": "pico-neox",
        "--checkpoints": "all",
        "--corpus": "builtin",
        "--tokens": "60",
        "--store": "out.zarr",
    },
    ("actstore", "ablate", "in/design.toml"): {"--store": "out.zarr", "--worker": "1/40", "--quiet": ""},
    ("actstore", "ablate"): {
        "--model": "pico-neox",
        "--selection": "in/results/selections/top.json",
        "--intervention": "negative-zero",
        "--tokens": "60",
        "--pairs": "none",
        "--pairs-per-paradigm": "1",
        "--probes": "none",
        "--seed": "0",
        "--store": "out.zarr",
        "--checkpoints": "main",
        "--statistics": "in/results/entanglement.zarr",
        "--device": "cpu",
        "--compute-dtype": "float32",
        "--quiet": "",
    },
    ("actstore", "info"): {"": "in/store.zarr"},
    ("actstore", "verify"): {"": "in/store.zarr"},
    ("actstore", "models"): {"": "pico"},
    ("analysis", "entanglement"): {"--store": "in/store.zarr", "--out": "out", "--fraction": "0.01", "--random-seeds": "1"},
    ("analysis", "select"): {
        "--results": "in/results",
        "--rule": "top",
        "--fraction": "0.02",
        "--statistic": "mean",
        "--scope": "layer",
        "--seed": "-1",
        "--checkpoint": "64",
        "--match": "std",
        "--out": "s.json",
    },
    ("analysis", "tables"): {
        "--store": "in/ablation.zarr",
        "--out": "out",
        "--score": "total",
        "--correction": "holm",
        "--margin": "0.05",
    },
    ("analysis", "surprisal"): {
        "--store": "in/ablation.zarr",
        "--out": "out",
        "--replicates": "2",
        "--seed": "0",
        "--intervention": "negative-zero",
        "--checkpoint": "64",
        "--formula": "delta ~ 1",
        "--random": "document",
    },
    ("reports", "in/study.toml"): {"--runs": "runs", "--dry-run": ""},
}
_FILE_OPTIONS = {"--model", "--store", "--out", "--results", "--selection"}
_SIZE_OPTIONS = {"--tokens", "--layers", "--pairs", "--probes", "--random-seeds", "--replicates", "--checkpoints", "--worker"}
_NEEDED = {*_FILE_OPTIONS, *_SIZE_OPTIONS, "--dry-run", "--formula"}


@st.composite
def options(draw: st.DrawFn, prepared: Path) -> Example:
    """A valid command with one to three options set to anything."""
    words = draw(st.sampled_from(list(_COMMANDS)))
    values = {key: value for key, value in _COMMANDS[words].items() if key in _NEEDED or not key or draw(st.booleans())}
    for key in draw(st.lists(st.sampled_from(list(_COMMANDS[words])), max_size=3)):
        values[key] = draw(_OPTION | st.text(max_size=8).filter(lambda text: "\x00" not in text))
    arguments: list[str] = list(words[1:])
    for key, value in values.items():
        arguments += [key] if key in ("--quiet", "--dry-run") else [value] if not key else [f"{key}={value}"]
    return Example({}, words[0], tuple(arguments))


@st.composite
def models(draw: st.DrawFn, prepared: Path) -> Example:
    """A model folder with a wrong configuration, tokenizer or header of its weights."""
    files = {file.name: file.read_bytes() for file in (prepared / "model").iterdir()}
    name = draw(st.sampled_from(sorted(files)))
    if name.endswith(".json"):
        document = json.loads(files[name])
        files[name] = draw(mutated(document).map(as_json) | _VALUE.map(as_json) | _BYTES)
    else:
        size = int.from_bytes(files[name][:8], "little")
        header = draw(mutated(json.loads(files[name][8 : 8 + size])).map(as_json) | _BYTES)
        length = draw(st.sampled_from([len(header)] * 4 + [0, 2**63, 2**40, len(header) + 1]))
        files[name] = length.to_bytes(8, "little") + header + files[name][8 + size :]
    match draw(st.integers(0, 9)):
        case 0:
            del files[draw(st.sampled_from(sorted(files)))]
        case 1:
            files[draw(st.sampled_from(sorted(files)))] = FOLDER
        case 2:
            files["modeling_own.py"] = b"open('../outside/ran', 'w')"
            files["config.json"] = (
                files["config.json"][:-1]
                + b', "auto_map": {"AutoModelForCausalLM": "modeling_own.X", "AutoConfig": "modeling_own.Y"}}'
            )
    arguments = ("extract", "--quiet", "--model", "m", "--layers", "0", "--tokens", "60", "--store", "out.zarr")
    return Example({f"m/{name}": content for name, content in files.items()}, "actstore", arguments)


FORMATS: dict[str, Callable[[Path], st.SearchStrategy[Example]]] = {
    "text": texts,
    "json lines": json_lines,
    "CoNLL-U": conllu,
    "Brown": brown,
    "archives": archives,
    "pairs": pair_files,
    "selections": selections,
    "designs": designs,
    "studies": studies,
    "formulas": formulas,
    "options": options,
    "models": models,
}
"""Format → its grammar, which may look at what was prepared."""
