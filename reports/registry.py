"""The panels of a report: each is registered where it is written, ours and those of users.

Owns the titles of our sections and the order of the page. Sections are in the order of `SECTIONS`, then those of users as they
were registered. Within a section our panels come first, by module and within it as they are written, then those of users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from actstore.registry import Registry
from reports.panel import Panel
from reports.results import Results
from reports.style import saved

SECTIONS = (
    "Neurons far from Gaussian",
    "Similar inputs driven apart",
    "Over training",
    "What an ablation costs",
    "Where in the sentence",
    "Controls of the intervention itself",
)

DrawPanel = Callable[[Results], Panel | None]
_F = TypeVar("_F", bound=DrawPanel)


class Section(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: dict[str, Panel]
    """By the name of their figure's files and of their place on the page."""


@dataclass(frozen=True)
class _Entry:
    """A registered function."""

    name: str
    section: str
    needs: str
    draw: DrawPanel


PANELS: Registry[_Entry] = Registry("figure", "reports.panels")


def panel(section: str, *, needs: str = "") -> Callable[[_F], _F]:
    """Register a function as a panel of the report.

    The function takes the `Results` of a study and gives its `Panel`, or None if the study lacks the tables for it. Its name,
    with hyphens, names the files of its figure. A panel of a user's own lies in a plugin that the study names.

    Parameters
    ----------
    section : str
        The heading that the panel comes under: one of `SECTIONS`, or one's own, which comes after these.
    needs : str
        What the report says is missing if the function gives None; nothing by default.

    Raises
    ------
    ActstoreError
        If a function of another module has registered a panel of the same name.

    Examples
    --------
    ::

        from reports.panel import Panel, drawn
        from reports.registry import panel


        @panel("Over training", needs="my figure (needs several checkpoints)")
        def loss_over_training(results):
            if not results.main.has("loss"):
                return None
            ...
            return Panel(title, figure, alt, finding, note, source)
    """

    def register(draw: _F) -> _F:
        name = draw.__name__.replace("_", "-")
        PANELS.add(name, _Entry(name, section, needs, draw), draw.__module__)
        return draw

    return register


def load_panels() -> list[str]:
    """Import the modules of our panels, so that these are registered.

    Returns
    -------
    list of str
        The names of the modules, in the order that their panels have within a section.
    """
    from reports.panels import ablation, functional, grammar, layers_and_steps, neurons, pairs, readouts, surprisal, training

    return [
        module.__name__
        for module in (neurons, pairs, functional, training, ablation, grammar, layers_and_steps, readouts, surprisal)
    ]


def drawn_sections(results: Results) -> tuple[list[Section], list[str]]:
    """All panels that the results support, by heading; and what could not be drawn, in words.

    An error in a user's panel does not end the report: the panel is left out, and its error is among what could not be drawn.
    """
    panels: dict[str, dict[str, Panel]] = {}
    missing = []
    for entry, is_ours in _in_order():
        outcome = _draw(entry, results) if is_ours else _draw_of_user(entry, results)
        if isinstance(outcome, Panel):
            panels.setdefault(entry.section, {})[entry.name] = outcome
        elif outcome:
            missing.append(outcome)
    return [Section(title, of_section) for title, of_section in panels.items()], missing


def _in_order() -> Iterator[tuple[_Entry, bool]]:
    """Every registered panel in the order of the page, and whether it is ours."""
    modules = load_panels()
    entries = list(PANELS.entries.values())
    titles = list(dict.fromkeys((*SECTIONS, *(entry.section for entry in entries))))

    def rank(entry: _Entry) -> tuple[int, int]:
        module = entry.draw.__module__
        return titles.index(entry.section), modules.index(module) if module in modules else len(modules)

    for entry in sorted(entries, key=rank):
        yield entry, entry.draw.__module__.startswith("reports.panels.")


def _draw(entry: _Entry, results: Results) -> Panel | str:
    """The panel, or what it needs."""
    return entry.draw(results) or entry.needs


def _draw_of_user(entry: _Entry, results: Results) -> Panel | str:
    """The panel, what it needs, or its error."""
    try:
        outcome = _draw(entry, results)
        if not isinstance(outcome, Panel | str):
            raise TypeError(f"the function must give a Panel or None, not {type(outcome).__name__}")
        if isinstance(outcome, Panel):
            saved(outcome.figure, "svg")  # matplotlib finds some errors only when it renders
        return outcome
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        return f"the panel {entry.name} of {entry.draw.__module__} ({text})"
