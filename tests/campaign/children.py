"""Commands in child processes of a warm parent.

Owns forking: a child begins with all modules imported, in a folder of its own, with its output in
files, and can be signalled, timed and bounded in memory. The parent never computes: it has no
threads, so that forking is safe.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = {
    "actstore": "actstore.cli.main",
    "analysis": "analysis.__main__",
    "reports": "reports.__main__",
    "build": "reports.build",
}
_LIBRARIES = ("torch", "matplotlib.pyplot", "formulaic", "statsmodels.api", "zarr", "xarray", "pandas", "scipy.stats")
_TRANSFORMERS = (
    "transformers.models.gpt_neox.modeling_gpt_neox",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
)
_OURS = ("actstore.ablation.run", "actstore.store.writer", "actstore.extraction.plan", *PROGRAMS.values())
_WARM = (*_LIBRARIES, *_TRANSFORMERS, *_OURS)
"""What the parent imports, so that its children need not."""
_PREFIXES = ("actstore", "analysis: ", "reports: ", "python -m ")
"""Beginnings of the programs' own lines."""
_PROGRESS = re.compile(r"\d+%\|")
SHARD_TOKENS = 64
USUAL_SHARD_TOKENS = 8192
TIMEOUT = 120.0
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def small_shards(n_tokens: int = SHARD_TOKENS) -> None:
    """Several blocks in a small store."""
    from actstore.extraction import block
    from actstore.store import layout

    layout._SHARD_TOKENS, block._MAX_PIECE_TOKENS = n_tokens, n_tokens


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
}


def settle_environment() -> None:
    """Begin anew with one thread and no network, which is settled before anything is imported."""
    if not _ENVIRONMENT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "tests.campaign", *sys.argv[1:]], os.environ | _ENVIRONMENT)


def warm_up() -> None:
    """Import all that the commands need, so that children start at once."""
    for name in _WARM:
        importlib.import_module(name)
    small_shards()
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    if len(names) - names.count("jemalloc_bg_thd") > 1:  # that one is made for forks
        raise RuntimeError(f"the parent has threads ({', '.join(names)})), and cannot be forked")


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (minus the signal's number if one ended it) and what it wrote."""

    code: int
    out: str
    error: str
    seconds: float
    peak: int
    """Greatest resident memory in bytes."""
    timed_out: bool = False

    @property
    def is_clean(self) -> bool:
        """Success, or a refusal in one line."""
        return self.code == 0 or (self.code == 2 and self.is_explained)

    @property
    def is_explained(self) -> bool:
        """Whether its own last line says why it ended; notices, progress or its usage may stand before that line."""
        lines = [line for line in self.error.splitlines() if line.strip() and not _PROGRESS.search(line)]
        own = [line.startswith((*_PREFIXES, "usage: ", " ")) for line in lines]
        return bool(lines) and all(own) and lines[-1].startswith(_PREFIXES) and "Traceback" not in self.error

    @property
    def story(self) -> str:
        """In one line, for the list of failures."""
        if self.timed_out:
            return f"no end after {self.seconds:.0f} s"
        lines = self.error.strip().splitlines() or [""]
        message = lines[-1] if "Traceback" in self.error else " / ".join(lines)
        return f"exit {self.code}{' with a traceback' if 'Traceback' in self.error else ''}: {message[:300]}"


class Child:
    """A running child."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self._log, self._began = pid, log, time.monotonic()

    def signal(self, number: int, *, group: bool = False) -> bool:
        """Send a signal; True if it was still running."""
        if self._reaped() is not None:
            return False
        (os.killpg if group else os.kill)(self.pid, number)
        return True

    def _reaped(self) -> tuple[int, Any] | None:
        if not hasattr(self, "_status"):
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self._status = (os.waitstatus_to_exitcode(status), usage)
        return self._status

    def wait(self, timeout: float = TIMEOUT) -> Ended:
        """Wait for its end; after `timeout` seconds it is killed, with all that it started."""
        timed_out = False
        while (state := self._reaped()) is None:
            if not timed_out and time.monotonic() - self._began > timeout:
                timed_out = True
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.002)
        texts = [self._log.with_suffix(end).read_text(errors="replace") for end in (".out", ".err")]
        code, usage = state
        return Ended(code, *texts, time.monotonic() - self._began, usage.ru_maxrss * 1024, timed_out)


def start(action: Callable[[], int | None], folder: Path, memory: int | None = None) -> Child:
    """Fork; the child runs `action` in a folder and exits with what it returns.

    Parameters
    ----------
    action : callable
    folder : Path
        Working folder of the child.
    memory : int, optional
        Bytes of address space that the child may take beyond the parent's.
    """
    log = Path(tempfile.mkdtemp(prefix="log-", dir=os.environ["CAMPAIGN_LOGS"])) / "child.x"

    def settled() -> int | None:
        _settle(folder, log, memory)
        return action()

    for end in (".out", ".err"):
        log.with_suffix(end).touch()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # what comes before the child is settled waits
    pid = os.fork()
    if not pid:
        _leave_with(settled)
    os.setpgid(pid, pid)  # here, too: the child may not have come to it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    return Child(pid, log)


def _settle(folder: Path, log: Path, memory: int | None) -> None:
    """Make a forked child like a process that a shell started."""
    os.setpgid(0, 0)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    os.chdir(folder)
    for target, name in ((0, os.devnull), (1, log.with_suffix(".out")), (2, log.with_suffix(".err"))):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o666), target)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def main_of(program: str) -> Callable[[Sequence[str]], int]:
    """The entry of one of the programs."""
    entry: Callable[[Sequence[str]], int] = importlib.import_module(PROGRAMS[program]).main
    return entry


def command(program: str, arguments: Sequence[str], folder: Path, shard: int = SHARD_TOKENS, **bounds: Any) -> Child:
    """One of the programs in a child."""

    def action() -> int:
        fork_steps()
        small_shards(shard)
        return main_of(program)(list(arguments))

    return start(action, folder, **bounds)


_run = subprocess.run


def step_of(arguments: Sequence[str]) -> Callable[[], int] | None:
    """What a step of a study, `python -m MODULE …`, does, as a call in this process; None if it is no such command."""
    parts = [str(part) for part in arguments]
    module = parts[parts.index("-m") + 1] if "-m" in parts else ""
    names = {module_name.removesuffix(".__main__").removesuffix(".cli.main"): name for name, module_name in PROGRAMS.items()}
    if module not in names:
        return None
    return lambda: main_of(names[module])(parts[parts.index("-m") + 2 :])


def fork_steps() -> None:
    """Let the steps of a study be forks of this process."""
    subprocess.run = _forked_step  # type: ignore[assignment]


def _forked_step(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """A step of a study in a fork of the warm process; all else as it is."""
    step = step_of(arguments)
    if step is None:
        return _run(arguments, **options)
    pid = os.fork()
    if not pid:
        _leave_with(step)
    _, status = os.waitpid(pid, 0)
    return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status))


def _leave_with(action: Callable[[], int | None]) -> NoReturn:
    """End this forked process with what an action returns."""
    code = 1
    try:
        code = int(action() or 0)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def fresh(program: str, arguments: Sequence[str], folder: Path) -> Child:
    """The same in a new interpreter, imports and all."""

    def action() -> int:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        parts = [sys.executable, "-m", "tests.campaign.fresh", program, *arguments]
        os.execve(sys.executable, parts, environment)
        return 1

    return start(action, folder)


def value_of(action: Callable[[], Any], folder: Path, timeout: float = TIMEOUT) -> Any:
    """What an action returns that is run in a child; a RuntimeError if it fails."""
    with tempfile.NamedTemporaryFile(dir=os.environ["CAMPAIGN_LOGS"]) as file:

        def save() -> None:
            Path(file.name).write_bytes(pickle.dumps(action()))

        ended = start(save, folder).wait(timeout)
        if ended.code:
            raise RuntimeError(f"{ended.story}\n{ended.error}")
        return pickle.loads(Path(file.name).read_bytes())
