"""The parts of the recipe that need neither torch nor espeak-ng, held against what hub/demo ships."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from tokenizers import Tokenizer

from tests.demo_model.__main__ import main
from tests.demo_model.grammar import (
    ENGLISH_HOMOPHONES,
    GRAMMARS,
    LANGUAGES,
    Language,
    plain_words,
    random_words,
    sentence,
    sentence_or_words,
    vocabulary,
)
from tests.demo_model.heldout import COMMITTED_FILE, choose_held_out, read_held_out
from tests.demo_model.templates import expand
from tests.demo_model.tokenizer import model_vocabulary, suppressed_ids, token_ids, tokenizer_json

REPOSITORY = Path(__file__).parents[2]
SHIPPED_MODEL = REPOSITORY / "hub" / "demo"


@pytest.fixture(scope="module")
def rebuilt_tokenizer() -> Tokenizer:
    return Tokenizer.from_str(tokenizer_json())


@pytest.mark.parametrize(("language", "size"), [("en", 346), ("de", 92)])
def test_vocabulary_has_the_size_that_the_readme_names(language: Language, size: int) -> None:
    words = set(vocabulary(language)) | (ENGLISH_HOMOPHONES if language == "en" else set())
    assert len(words) == size


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_and_random_words_keep_to_the_vocabulary(language: Language) -> None:
    closed = {word.lower() for word in vocabulary(language)} | ENGLISH_HOMOPHONES
    random = Random(4)
    for _ in range(5_000):
        text = sentence_or_words(random, language, 0.25)
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert {word.lower() for word in plain_words(text)} <= closed, text


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_rule_gives_different_sentences_without_leftovers_of_the_notation(language: Language) -> None:
    grammar = GRAMMARS[language]
    random = Random(5)
    for rule in grammar.rules:
        texts = {expand(rule.template, grammar.slots, random) for _ in range(50)}
        assert len(texts) > 3, rule.template
        assert not any(set(text) & set("{}()|+") for text in texts), rule.template


def test_random_words_have_two_to_seven_words() -> None:
    random = Random(6)
    assert {len(random_words(random, "en").split()) for _ in range(300)} == set(range(2, 8))


def test_templates_draw_from_joined_slots_and_expand_nested_alternatives() -> None:
    slots = {"one": ("a",), "two": ("b", "{one}c")}
    random = Random(7)
    assert {expand("{one+two}(!|?(1|2))", slots, random) for _ in range(200)} == {
        start + end for start in ("a", "b", "ac") for end in ("!", "?1", "?2")
    }


@pytest.mark.parametrize("template", ["(a|b", "a)b", "{a", "a}", "(a|{b)"])
def test_template_with_an_open_end_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="without its partner"):
        expand(template, {"a": ("x",), "b": ("y",)}, Random(8))


def test_held_out_sentences_are_chosen_again_byte_for_byte() -> None:
    assert choose_held_out().as_text().encode() == COMMITTED_FILE.read_bytes()


def test_held_out_sentences_are_all_different_and_found_again_in_their_file() -> None:
    held_out = read_held_out()
    assert held_out == choose_held_out()
    assert len(set(held_out.english)) == 400
    assert len(set(held_out.german)) == 60


def test_held_out_sentences_do_come_up_unless_they_are_left_out() -> None:
    random = Random(9)
    drawn = {sentence(random, "en") for _ in range(5_000)}
    assert drawn & set(read_held_out().english)


def test_rebuilt_tokenizer_is_the_one_that_the_model_ships(rebuilt_tokenizer: Tokenizer) -> None:
    shipped = Tokenizer.from_file(str(SHIPPED_MODEL / "tokenizer.json"))
    assert json.loads(rebuilt_tokenizer.to_str()) == json.loads(shipped.to_str())


def test_rebuilt_vocabulary_is_the_one_that_the_model_ships(rebuilt_tokenizer: Tokenizer) -> None:
    shipped = json.loads((SHIPPED_MODEL / "vocabulary.json").read_text(encoding="utf-8"))
    assert model_vocabulary(rebuilt_tokenizer) == shipped
    assert token_ids(rebuilt_tokenizer).vocabulary_size == len(shipped)
    assert len(shipped) % 8 == 0


def test_shipped_configuration_names_the_tokens_of_the_tokenizer(rebuilt_tokenizer: Tokenizer) -> None:
    configuration = json.loads((SHIPPED_MODEL / "config.json").read_text(encoding="utf-8"))
    ids = token_ids(rebuilt_tokenizer)
    assert configuration["lang_ids"] == [ids.languages[language] for language in LANGUAGES]
    assert configuration["suppress_ids"] == suppressed_ids(rebuilt_tokenizer)


@pytest.mark.parametrize(
    "text",
    [
        " Remind me to call Anna on Monday.",
        " Grüß Gott, 世界 -",
        " 'tis 5 o'clock?",
        "no space before",
        "two\nlines",
        "🎧",
    ],
)
def test_tokenizer_gives_any_text_back(rebuilt_tokenizer: Tokenizer, text: str) -> None:
    token_list = rebuilt_tokenizer.encode(text, add_special_tokens=False).ids
    assert max(token_list) < token_ids(rebuilt_tokenizer).end_of_text
    assert rebuilt_tokenizer.decode(token_list) == text


def test_tokenizer_needs_few_tokens_for_the_words_of_the_grammar(rebuilt_tokenizer: Tokenizer) -> None:
    lengths = [len(rebuilt_tokenizer.encode(" " + word, add_special_tokens=False).ids) for word in vocabulary("en")]
    assert max(lengths) <= 3
    assert lengths.count(1) > 0.9 * len(lengths)


def test_light_steps_write_below_the_work_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "work"
    for step in ("tokenizer", "heldout"):
        assert main([step, "--work", str(work)]) == 0
    assert "changed" not in capsys.readouterr().out
    assert sorted(path.name for path in work.iterdir()) == ["heldout.txt", "tokenizer.json"]
    assert (work / "heldout.txt").read_bytes() == COMMITTED_FILE.read_bytes()


@pytest.mark.parametrize("step", ["bank", "evaluate"])
def test_step_without_its_input_names_the_step_to_do_first(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([step, "--work", str(tmp_path)]) == 1
    assert "do the step 'heldout' first" in capsys.readouterr().err


def test_recipe_runs_as_a_module_and_loads_nothing_heavy_before_a_step_asks_for_it() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "tests.demo_model", "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "heldout" in done.stdout
    for heavy in ("torch", "scipy", "numpy", "faster_whisper"):
        assert f"| {heavy}" not in done.stderr
