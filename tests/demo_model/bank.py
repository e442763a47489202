"""The bank of utterances: synthesised once, then mixed into windows again and again.

A shard is a pair of files in the bank's folder: `shard-000.npy` holds the log mel power of its utterances, one after
the other, and `shard-000.json` their notes. About 1.3 GB for the 47,000 utterances of the demo model.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tests.demo_model.grammar import LANGUAGES, Language
from tests.demo_model.tokenizer import PUNCTUATION, token_text
from tests.demo_model.utterance import FrameSpan, Utterance, UtteranceNotes

NO_PHONEME = 0
"""The label of pauses."""


@dataclass(frozen=True)
class _ShardNotes:
    """`frame_counts` says how many rows of the shard's array belong to each utterance."""

    frame_counts: Sequence[int]
    utterances: Sequence[UtteranceNotes]


@dataclass(frozen=True)
class TrainingUtterance:
    """An utterance as windows are made of it.

    `log_mel` is (frames, 80); `tokens` and `token_spans` belong together; `phonemes` (frames,) holds the label of the
    phoneme that is heard in each frame, NO_PHONEME in pauses.
    """

    log_mel: npt.NDArray[np.float16]
    speech: FrameSpan
    tokens: Sequence[int]
    token_spans: Sequence[FrameSpan]
    phonemes: npt.NDArray[np.int16]


@dataclass
class Bank:
    """Utterances ready for the training, by language.

    Phonemes are numbered from 1 as they are met, so a training that goes on with another bank learns its head for
    phonemes anew; the exported model does not contain it.
    """

    utterances: dict[Language, list[TrainingUtterance]] = field(
        default_factory=lambda: {language: [] for language in LANGUAGES}
    )
    phoneme_labels: dict[str, int] = field(default_factory=dict)


def write_shard(stem: Path, utterances: Sequence[Utterance]) -> None:
    """Write the two files of a shard; `stem` is their path without the suffix."""
    notes = _ShardNotes(
        [len(utterance.log_mel) for utterance in utterances], [utterance.notes for utterance in utterances]
    )
    stem.with_suffix(".json").write_bytes(msgspec.json.encode(notes))
    # The array comes last and under another name first: a shard counts as there when its array is.
    partial = stem.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, np.concatenate([utterance.log_mel for utterance in utterances]))
    partial.replace(stem.with_suffix(".npy"))


def shard_files(folder: Path) -> list[Path]:
    """The shards' array files in order."""
    return sorted(folder.glob("shard-*.npy"))


def read_bank(shards: Sequence[Path], tokenizer: Tokenizer) -> Bank:
    """Read these shards and find each token's place in time."""
    bank = Bank()
    for shard in shards:
        log_mel = np.load(shard)
        notes = msgspec.json.decode(shard.with_suffix(".json").read_bytes(), type=_ShardNotes)
        ends = np.cumsum(notes.frame_counts)
        for utterance, end, frames in zip(notes.utterances, ends, notes.frame_counts, strict=True):
            own_frames = log_mel[end - frames : end]
            bank.utterances[utterance.language].append(
                _for_training(utterance, own_frames, tokenizer, bank.phoneme_labels)
            )
    return bank


def _for_training(
    notes: UtteranceNotes, log_mel: npt.NDArray[np.float16], tokenizer: Tokenizer, phoneme_labels: dict[str, int]
) -> TrainingUtterance:
    tokens: list[int] = []
    token_spans: list[FrameSpan] = []
    for word, span in zip(notes.text.split(), notes.words, strict=True):
        of_word = tokenizer.encode(" " + word, add_special_tokens=False).ids
        tokens.extend(of_word)
        token_spans.extend(_split_span(span, [token_text(tokenizer, token) for token in of_word]))
    return TrainingUtterance(
        log_mel, notes.speech, tokens, token_spans, _phoneme_track(notes, len(log_mel), phoneme_labels)
    )


def _split_span(span: FrameSpan, tokens: Sequence[str]) -> list[FrameSpan]:
    """Share the time of a word among its tokens, by their letters; a mark at the end gets half a letter's."""
    letters = np.array([max(1, len(token.replace("Ġ", ""))) for token in tokens], float)  # Ġ stands for the space
    if tokens[-1] in PUNCTUATION:
        letters[-1] = 0.5
    bounds = np.concatenate([[0], np.cumsum(letters)]) / letters.sum()
    frames = [float(span.start + (span.end - span.start) * bound) for bound in bounds]
    return [FrameSpan(start, end) for start, end in itertools.pairwise(frames)]


def _phoneme_track(notes: UtteranceNotes, frames: int, phoneme_labels: dict[str, int]) -> npt.NDArray[np.int16]:
    """The label of each frame (frames,); phonemes met for the first time are added to the labels."""
    track = np.zeros(frames, np.int16)
    ends = [phoneme.frame for phoneme in notes.phonemes[1:]] + [float(frames)]
    for phoneme, end in zip(notes.phonemes, ends, strict=False):
        is_pause = phoneme.name.startswith("_")
        label = NO_PHONEME if is_pause else phoneme_labels.setdefault(phoneme.name, len(phoneme_labels) + 1)
        track[int(phoneme.frame) : int(end) + 1] = label
    return track
