"""What an analysis is: when a system has it, and its part of the summary, the report and the figures."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_type_hints

from gdyn.files import FilePath

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.result import Result
    from gdyn.statistics.interval import Interval

# Sections of the table on the report's first page, in their order; others follow.
MODEL = "Koopman model of the test frames, with 95 % intervals"
TRUST = "How far to trust it"
SITES = "Compared with the known sites"
STRUCTURE = "Structure and transport by state"
SECTIONS = (MODEL, TRUST, SITES, STRUCTURE)


class Row(NamedTuple):
    """A line of the table on the report's first page."""

    name: str
    text: str


def always(system: "System") -> bool:
    """For every system."""
    return True


@dataclass(frozen=True)
class Figure:
    """A figure of the results of an analysis.

    name : of its file, and in the workflow.
    label : what it is called in Snakemake's report.
    draw : ``module:function`` from the result of the analysis, and those of others, to a matplotlib figure.
    caption : in plain sentences.
    beside : the names of further analyses whose results it takes, where the system has them.
    applies : whether a system that has the analysis has the figure.
    """

    name: str
    label: str
    draw: str
    caption: str
    beside: tuple[str, ...] = ()
    applies: Callable[["System"], bool] = always


class Analysis:
    """What is estimated from the states of a system, and where it is reported.

    This class and its subclasses are read whenever the Snakefile is, so they import nothing that takes long. The
    numbers themselves come from ``estimator``, which knows nothing of files.
    """

    name: ClassVar[str]
    """Of the analysis, and of the rule that runs it."""
    place: ClassVar[int]
    """In the order of summary and report."""
    estimator: ClassVar[str]
    """``module:function`` that gives its :class:`gdyn.result.Result`."""
    files: ClassVar[Mapping[str, str]]
    """What is written where in the results of the system: ``result``, and the tables and parts of the result."""
    key: ClassVar[str] = ""
    """What of the summary its flags are about, where they are not by the names of numbers."""
    units: ClassVar[Mapping[str, str]] = {}
    """Of the numbers of the summary."""
    figures: ClassVar[tuple[Figure, ...]] = ()
    of_model: ClassVar[bool] = False
    """Whether it belongs to the model, which may have been trained on another system."""

    def applies(self, system: "System") -> bool:
        """Whether a system has it."""
        return True

    def prepare(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Parameters of the estimator, from its inputs: paths by the names of the parameters, unless said otherwise."""
        return inputs

    def summary(self, result: Any) -> dict[str, Any]:
        """Its part of the summary."""
        return {}

    def rows(self, result: Any) -> dict[str, list[Row]]:
        """Its rows on the first page of the report, by section."""
        return {}

    def caveats(self, result: Any) -> dict[str, list[str]]:
        """Caveats about its numbers: lists of sentences by key of the summary."""
        flags = getattr(result, "flags", {})
        by_key = flags if isinstance(flags, dict) else {self.key: flags}
        return {key: sentences for key, sentences in by_key.items() if sentences}

    @property
    def kind(self) -> type["Result"]:
        """The type of its result."""
        return get_type_hints(resolve(self.estimator))["return"]

    def read(self, paths: Iterable[FilePath]) -> Any:
        """Its result, from paths among which its files are."""
        by_name = {Path(path).name: path for path in paths}
        return self.kind.read({part: by_name[Path(file).name] for part, file in self.files.items()})


def resolve(name: str) -> Any:
    """The object that ``module:name`` names."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def twins(**numbers: "Interval | None") -> dict[str, Any]:
    """Numbers of the summary: beside each ``x`` is its ``x_interval``; None is what is not known."""
    plain: dict[str, Any] = {}
    for name, number in numbers.items():
        plain[name] = None if number is None else number.value
        plain[f"{name}_interval"] = {
            part: None if number is None else getattr(number, part) for part in ("low", "high")
        }
    return plain


def twins_by_name(name: str, numbers: Mapping[str, "Interval | None"]) -> dict[str, Any]:
    """The same of several numbers that have names themselves, which are the innermost keys."""
    parts = {
        part: {key: None if number is None else getattr(number, part) for key, number in numbers.items()}
        for part in ("value", "low", "high")
    }
    return {name: parts["value"], f"{name}_interval": {part: parts[part] for part in ("low", "high")}}


def by_state(name: str, numbers: Iterable["Interval"]) -> list[Row]:
    """A row for each state; ``name`` has a place for its number."""
    return [Row(name.format(state), str(number)) for state, number in enumerate(numbers, start=1)]


def percent(share: "Interval") -> str:
    """A share in percent."""
    return str(share.map(lambda x: 100 * x).in_unit("%"))
