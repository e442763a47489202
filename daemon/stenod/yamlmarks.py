"""YAML read so that a person can be told where a mistake is: plain values, and the line of each.

Values follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), not PyYAML's 1.1: `no` is a
word and not False, `22:30` and `0640` keep their digits, and a key may stand only once.
"""

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

DEEPEST = 20


@dataclass(slots=True)
class Document:
    """A YAML text as plain values. `lines` has the line (from 1) of every key and item, by its path."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[Path, str]] = field(default_factory=list)


# What PyYAML says, and what a person is told instead.
_PLAIN = {
    "'\\t'": "a tab stands where YAML wants spaces: indent with spaces",
    "mapping values are not allowed here": "a colon too many: text with a colon in it must stand in quotes",
    "expected <block end>": "the indentation does not fit: what belongs together starts in the same column",
    "could not find expected ':'": "a key without a colon and a value",
}


class _CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the implicit types of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own layout


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_CoreLoader.yaml_implicit_resolvers.setdefault("", []).append(("tag:yaml.org,2002:null", re.compile(r"\Z")))
_CoreLoader.add_constructor(
    "tag:yaml.org,2002:int",
    lambda _loader, node: int(str(node.value)),  # 0640 is 640, as in YAML 1.2
)


class YamlError(Exception):
    """The text is no YAML. `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def load(text: str) -> Document:
    """Return the values in `text` with their lines, and what is wrong with its keys. Raise YamlError."""
    document = Document(None)
    try:
        loader = _CoreLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = _plain(loader, node, (), document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        what = next((plain for sign, plain in _PLAIN.items() if sign in what), what)
        raise YamlError(mark.line + 1 if mark else 1, what) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 1
        raise YamlError(line, "a character that YAML does not allow") from error
    except RecursionError as error:
        raise YamlError(1, f"nested far deeper than {DEEPEST} levels") from error
    return document


def _plain(loader: _CoreLoader, node: yaml.Node, path: Path, document: Document) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > DEEPEST:
        document.problems.append((path[:3], f"nested deeper than {DEEPEST} levels"))
        return None
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                line = key_node.start_mark.line + 1
                document.problems.append((path, f"a key must be a word, and the one in line {line} is not"))
                continue
            key = str(key_node.value)
            inner = (*path, key)
            if key in values:
                line, first = key_node.start_mark.line + 1, document.lines[inner]
                document.problems.append((inner, f"stands a second time in line {line} (first in line {first})"))
                continue
            document.lines[inner] = key_node.start_mark.line + 1
            values[key] = _plain(loader, value_node, inner, document)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, (*path, index), document) for index, item in enumerate(node.value)]
    try:
        return loader.construct_object(node, deep=True)  # type: ignore[no-untyped-call,unused-ignore]
    except ValueError:
        return str(node.value)
