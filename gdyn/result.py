"""Results of analyses: what is estimated, as frozen typed objects, and the files that hold them.

A result goes to one JSON file and, for what it holds besides, to one file each: tables to CSV, further results to JSON
of their own. Reading them back gives the same object. In JSON, null stands for NaN: not known.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gdyn.errors import InputError
from gdyn.files import FilePath, read_json, write_json, write_table
from gdyn.statistics.interval import Interval, read_only

ITSELF = "result"  # the name of the file of a result itself, beside those of its parts

MANY = 200  # letters, beyond which a description says only how much there is

Files = Mapping[str, FilePath]


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _array(value: Any) -> Any:
    return read_only(np.array(value, float) if isinstance(value, list) else value)


def measured(unit: str = "", kind: type[Interval] = Interval) -> BeforeValidator:
    """How an :class:`Interval` is read: of a kind, from plain values or as it is, and in what unit."""

    def read(value: Any) -> Interval:
        if isinstance(value, Interval):
            return value.in_unit(unit)
        try:
            return kind.read(value, unit)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no number with its interval ({error})") from None

    return BeforeValidator(read)


Number = Annotated[float, BeforeValidator(_number)]
Array = Annotated[np.ndarray, BeforeValidator(_array)]
Table = Annotated[pd.DataFrame, Field(default_factory=pd.DataFrame, exclude=True)]
Flags = Annotated[dict[str, list[str]], Field(default_factory=dict)]
Sentences = Annotated[list[str], Field(default_factory=list)]
Share = Annotated[Interval, measured()]
Time = Annotated[Interval, measured("ps")]
Charge = Annotated[Interval, measured("e")]
Count = Share


class Result(BaseModel):
    """What an analysis has estimated.

    Fields are numbers, arrays, :class:`Interval`, tables, and further results. Where a field ``flags`` holds sentences
    by the names of other fields, every :class:`Interval` in those has them as its ``caveats``; where it is a list of
    sentences, every one of the result. What is infinite is NaN when it is read back, as JSON has no such number.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)

    @model_validator(mode="after")
    def _caveats_stand_by_the_numbers(self) -> Self:
        flags = getattr(self, "flags", {})
        # What no number is named for is about all of them.
        by_name = flags if isinstance(flags, dict) else dict.fromkeys(type(self).model_fields if flags else (), flags)
        for name, sentences in by_name.items():
            if name in type(self).model_fields:
                # The model is frozen from here on.
                self.__dict__[name] = _with_caveats(getattr(self, name), sentences)
        return self

    def __str__(self) -> str:
        """Its numbers in a few lines, and the size of what is larger."""
        return "\n".join([type(self).__name__, *(f"  {name}: {_brief(value)}" for name, value in self)])

    def __repr__(self) -> str:
        """As in words: a notebook shows it for the last line of a cell."""
        return str(self)

    def with_flags(self, flags: Any) -> Self:
        """The same result, with caveats."""
        return type(self)(**{**dict(self), "flags": flags})

    def plain(self) -> dict[str, Any]:
        """For JSON: all but what has a file of its own."""
        return {name: getattr(self, name) for name, field in type(self).model_fields.items() if not field.exclude}

    def write(self, files: Files) -> None:
        """Write the files of the result.

        Parameters
        ----------
        files : paths by what is written there: ``result`` for the JSON, and the names of tables and parts.
        """
        for name, path in files.items():
            part = self if name == ITSELF else getattr(self, name)
            if isinstance(part, Result):
                write_json(path, part.plain())
            elif isinstance(part, pd.DataFrame):
                write_table(path, part)
            else:
                part.write(path)

    @classmethod
    def read(cls, files: Files) -> Self:
        """Read a result from its files; parts without a file are empty.

        Raises
        ------
        InputError : the file is not a result of this kind.
        """
        parts = {
            name: _part(field.annotation, files[name])
            for name, field in cls.model_fields.items()
            if field.exclude and name in files
        }
        try:
            return cls.model_validate(read_json(files[ITSELF]) | parts)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"{files[ITSELF]}: cannot be read as a result of this version of gdyn "
                f"({'.'.join(map(str, first['loc']))}: {first['msg']}); let the workflow remake it (--forcerun)"
            ) from None


def _with_caveats(value: Any, sentences: list[str]) -> Any:
    """The same, with caveats of every interval in it."""
    if isinstance(value, Interval):
        return value.with_caveats(sentences)
    if type(value) is list:  # not what has a file of its own
        return [_with_caveats(one, sentences) for one in value]
    if isinstance(value, dict):
        return {name: _with_caveats(one, sentences) for name, one in value.items()}
    if isinstance(value, Result):
        return value.model_copy(update={name: _with_caveats(one, sentences) for name, one in value})
    return value


def _brief(value: Any) -> str:
    """In words, if they are few; else how much there is."""
    if isinstance(value, pd.DataFrame):
        return f"a table of {len(value)} rows: {', '.join(map(str, value.columns))}"
    if isinstance(value, Result):
        return type(value).__name__
    if isinstance(value, str | float):
        return f"{value:.6g}" if isinstance(value, float) else value
    several = isinstance(value, list) and any(isinstance(one, Interval | Result) for one in value)
    text = f"[{', '.join(map(_brief, value))}]" if several else str(value)
    if len(text) <= MANY:
        return text
    if isinstance(value, Interval):
        return f"numbers of shape {np.shape(value.value)} with their intervals"
    return f"numbers of shape {value.shape}" if isinstance(value, np.ndarray) else f"{len(value)} entries"


def _part(kind: Any, path: FilePath) -> Any:
    if kind is pd.DataFrame:
        return pd.read_csv(path)
    return kind.model_validate(read_json(path)) if issubclass(kind, Result) else kind.read(path)
