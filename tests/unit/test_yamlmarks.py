"""YAML as plain values with their lines: what YAML 1.1 would twist stays as it was written."""

import math
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stenod import yamlmarks


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("22:30", "22:30"),
        ("03:30", "03:30"),
        ("1:2:3", "1:2:3"),
        ("0640", 640),
        ("0x1f", "0x1f"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("2026-03-14", "2026-03-14"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-7", -7),
        ("+7", 7),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        ("9" * 5000, "9" * 5000),  # more digits than Python turns into a number
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("~/recordings", "~/recordings"),
        ('"no"', "no"),
        ("'5'", "5"),
        ("=", "="),
        ("<<", "<<"),
        ("[a, 5, [b]]", ["a", 5, ["b"]]),
        ("{a: 1, b: {c: no}}", {"a": 1, "b": {"c": "no"}}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("1: one\ntrue: two", {"1": "one", "true": "two"}),
        ("# only a comment\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ],
)
def test_values(text: str, value: object) -> None:
    document = yamlmarks.load(text)
    assert document.value == value
    assert type(document.value) is type(value)
    assert document.problems == []


def test_every_key_and_item_has_its_line() -> None:
    document = yamlmarks.load("# comment\na: 1\nb:\n\n  - c: 2\n    d:\n      e: 3\n  - f\n")
    assert document.value == {"a": 1, "b": [{"c": 2, "d": {"e": 3}}, "f"]}
    assert document.lines == {
        (): 2, ("a",): 2, ("b",): 3, ("b", 0): 5, ("b", 0, "c"): 5, ("b", 0, "d"): 6, ("b", 0, "d", "e"): 7,
        ("b", 1): 8,
    }  # fmt: skip


def test_a_key_that_stands_twice_is_a_problem_and_the_first_one_counts() -> None:
    document = yamlmarks.load("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n")
    assert document.value == {"a": 1, "b": {"c": 2}}
    assert document.problems == [
        (("b", "c"), "stands a second time in line 4 (first in line 3)"),
        (("a",), "stands a second time in line 5 (first in line 1)"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a:\n\t- b", 2, "a tab stands where YAML wants spaces: indent with spaces"),
        ("a: 1\n  b: 2", 2, "a colon too many: text with a colon in it must stand in quotes"),
        ("a: [1", 1, "while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        ('a: "b\n', 2, "while scanning a quoted scalar found unexpected end of stream"),
        ("a: *b", 1, "found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", 2, "expected a single document in the stream but found another document"),
        ("a: @b", 1, "while scanning for the next token found character '@' that cannot start any token"),
        ("a: 1\nb: !!own ''", 2, "could not determine a constructor for the tag 'tag:yaml.org,2002:own'"),
    ],
)  # fmt: skip
def test_what_is_no_yaml(text: str, line: int, what: str) -> None:
    with pytest.raises(yamlmarks.YamlError) as raised:
        yamlmarks.load(text)
    assert (raised.value.line, str(raised.value)) == (line, what)


def test_a_character_that_yaml_does_not_allow() -> None:
    with pytest.raises(yamlmarks.YamlError) as raised:
        yamlmarks.load("a: 1\nb: \x01\n")
    assert (raised.value.line, str(raised.value)) == (2, "a character that YAML does not allow")


def test_deep_nesting_is_a_problem_and_not_an_accident() -> None:
    document = yamlmarks.load("[" * 30 + "]" * 30)
    assert document.problems == [((0, 0, 0), "nested deeper than 20 levels")]
    endless = yamlmarks.load("a: &a [*a]")
    assert endless.problems == [(("a", 0, 0), "nested deeper than 20 levels")]


def test_very_deep_nesting_is_no_accident_either() -> None:
    with pytest.raises(yamlmarks.YamlError):
        yamlmarks.load("[" * 700 + "]" * 700)


# PyYAML leaves `0E0` without quotes, which YAML 1.1 takes for text and YAML 1.2 for a number.
texts = st.text().filter(lambda text: not re.fullmatch(r"[-+.0-9eE]+", text))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), plain, max_size=4))
def test_what_pyyaml_writes_is_read_as_it_was_but_for_what_is_not_yaml_1_2(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, sort_keys=False)
    document = yamlmarks.load(text)
    assert same(document.value, value)
    last = text.count("\n")
    assert all(1 <= line <= last for line in document.lines.values())


def same(read: object, written: object) -> bool:
    match written:
        case dict():
            return (
                isinstance(read, dict)
                and list(read) == [str(key) for key in written]
                and all(same(read[key], part) for key, part in written.items())
            )
        case list():
            return isinstance(read, list) and len(read) == len(written) and all(map(same, read, written))
        case float() if math.isinf(written):
            return read in {".inf", "-.inf"}
        case _:
            return read == written
