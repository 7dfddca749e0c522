"""YAML as people expect it: ``5e-4`` is a number, and ``yes`` and ``no`` are words.

PyYAML follows YAML 1.1, which reads the first as text and the others as booleans; this loader
follows the 1.2 core schema in those two points.
"""

from __future__ import annotations

import re
from typing import Any

import yaml


class _CoreLoader(yaml.SafeLoader):
    pass


_CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|nan)$"),
    list("-+0123456789."),
)


def parse(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        yaml.YAMLError: when ``text`` is not YAML.
    """
    return yaml.load(text, Loader=_CoreLoader)
