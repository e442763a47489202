"""A byte-level BPE tokenizer in Whisper's layout, trained on the words of the grammar.

The ids: 256 bytes and 1000 merges; the empty token, whose presence tells CTranslate2 that the model is multilingual;
the special tokens in Whisper's order; then 1501 timestamps, which tokenizer.json does not list but the model's
vocabulary does. 2768 in all, a multiple of 8.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.demo_model.grammar import ENGLISH_HOMOPHONES, LANGUAGES, Language, capitalised, vocabulary

TIMESTAMP_COUNT = 1501
"""0.00 s to 30.00 s."""

TIMESTAMP_STEP_S = 0.02

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)

PUNCTUATION = (".", ",", "?")

_BYTES = 256
_WORD_FREQUENCIES: Mapping[Language, int] = {"en": 10, "de": 4}
_MARKS = (*PUNCTUATION, " -", " '")
_MARK_FREQUENCY = 50


@dataclass(frozen=True)
class TokenIds:
    """The ids of the tokens that are not text."""

    end_of_text: int
    start_of_transcript: int
    languages: Mapping[Language, int]
    transcribe: int
    start_of_previous: int
    no_speech: int
    no_timestamps: int

    @property
    def first_timestamp(self) -> int:
        """The id of 0.00 s, which is also the number of tokens that are not timestamps."""
        return self.no_timestamps + 1

    @property
    def vocabulary_size(self) -> int:
        return self.first_timestamp + TIMESTAMP_COUNT


def tokenizer_json(merges: int = 1000) -> str:
    """The contents of tokenizer.json; more merges are learned if the vocabulary would not divide by 8 otherwise."""
    text_tokens = _BYTES + merges
    while (text_tokens + 1 + len(SPECIAL_TOKENS) + TIMESTAMP_COUNT) % 8:
        text_tokens += 1
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=text_tokens,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_word_frequencies().elements(), trainer)
    # The library can neither place special tokens behind the merges nor hold an empty token: both are written by hand.
    document = json.loads(tokenizer.to_str())
    ids_by_token = document["model"]["vocab"]
    ids_by_token[""] = len(ids_by_token)
    document["added_tokens"] = [
        {
            "id": len(ids_by_token) + index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for index, token in enumerate(SPECIAL_TOKENS)
    ]
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def token_ids(tokenizer: Tokenizer) -> TokenIds:
    return TokenIds(
        end_of_text=token_id(tokenizer, "<|endoftext|>"),
        start_of_transcript=token_id(tokenizer, "<|startoftranscript|>"),
        languages={language: token_id(tokenizer, f"<|{language}|>") for language in LANGUAGES},
        transcribe=token_id(tokenizer, "<|transcribe|>"),
        start_of_previous=token_id(tokenizer, "<|startofprev|>"),
        no_speech=token_id(tokenizer, "<|nospeech|>"),
        no_timestamps=token_id(tokenizer, "<|notimestamps|>"),
    )


def suppressed_ids(tokenizer: Tokenizer) -> list[int]:
    """The special tokens that a decoder must never give out."""
    never = (
        "<|startoftranscript|>",
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
    )
    return sorted(token_id(tokenizer, token) for token in never)


def model_vocabulary(tokenizer: Tokenizer) -> list[str]:
    """All tokens of the model in the order of their ids, timestamps included."""
    tokens = [token_text(tokenizer, index) for index in range(tokenizer.get_vocab_size())]
    return tokens + [f"<|{index * TIMESTAMP_STEP_S:.2f}|>" for index in range(TIMESTAMP_COUNT)]


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a token; raises ValueError if there is no such token."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"the tokenizer has no token {token!r}")
    return found


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """The token of an id as the vocabulary writes it; raises ValueError if there is no such id."""
    found = tokenizer.id_to_token(token)
    if found is None:
        raise ValueError(f"the tokenizer has no token with the id {token}")
    return found


def _word_frequencies() -> Counter[str]:
    """How often the trainer shall see each word: within a sentence three times as often as at its start."""
    frequencies: Counter[str] = Counter()
    for language, frequency in _WORD_FREQUENCIES.items():
        words = vocabulary(language) + (tuple(sorted(ENGLISH_HOMOPHONES, reverse=True)) if language == "en" else ())
        for word in words:
            frequencies[" " + word] += frequency
            frequencies[" " + capitalised(word)] += max(1, frequency // 3)
    for mark in _MARKS:
        frequencies[mark] += _MARK_FREQUENCY
    return frequencies
