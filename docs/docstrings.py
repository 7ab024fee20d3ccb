"""How the site reads docstrings: behind the colon of an item is what it is; its type is in the annotation."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^((?:Parameters|Returns|Yields|Raises)\n-+\n)(.*?)(?=\n\n\S+\n-+\n|\Z)", re.M | re.S)
ITEM = re.compile(r"^(\S.*?) : (.*(?:\n[ \t]+.*)*)", re.M)
ROLE = re.compile(r":\w+:`([^`]+)`")


class Docstrings(griffe.Extension):
    """What stands behind the colon goes to lines of its own, for each of several names; roles become code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Of every object that is read."""
        if obj.docstring:
            text = ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = SECTION.sub(lambda part: part[1] + ITEM.sub(_apart, part[2]), text)


def _apart(item: re.Match[str]) -> str:
    return "\n".join(f"{name}\n    {item[2]}" for name in item[1].split(", "))
