"""Whisper models of every published size with random weights: true dimensions, no download.

They load, encode and decode like the real ones, and say nothing sensible. `python -m tests.bench.models large-v3-turbo
FOLDER --format float16` writes one.
"""

import argparse
import json
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stenod import ctmodel
from stenod.config import LANGUAGES
from stenod.ctmodel import Alias, Dtype, Variable

ENCODER_POSITIONS = 1500
DECODER_POSITIONS = 448
TIMESTAMPS = 1501  # 0.00 to 30.00 seconds
ENGLISH_VOCABULARY = 51864
_BLOCK_ELEMENTS = 1024 * 1024
_ALIASES = (Alias("decoder/projection/weight", "decoder/embeddings/weight"),)
_FORMATS = {dtype.label: dtype for dtype in (Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)}


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The shape of a Whisper."""

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    mel_bands: int = 80
    vocabulary: int = 51865

    @property
    def languages(self) -> int:
        """How many language tokens there are. An English-only model has them too, though it needs none."""
        return 100 if self.vocabulary == 51866 else 99


SIZES = {
    "tiny": Dimensions(384, 6, 4, 4),
    "tiny.en": Dimensions(384, 6, 4, 4, vocabulary=ENGLISH_VOCABULARY),
    "base": Dimensions(512, 8, 6, 6),
    "small": Dimensions(768, 12, 12, 12),
    "medium": Dimensions(1024, 16, 24, 24),
    "large-v3": Dimensions(1280, 20, 32, 32, 128, 51866),
    "large-v3-turbo": Dimensions(1280, 20, 32, 4, 128, 51866),
    "distil-large-v3": Dimensions(1280, 20, 32, 2, 128, 51866),
}


def write(folder: str, dimensions: Dimensions, dtype: Dtype = Dtype.FLOAT32, seed: int = 0) -> None:
    """Make the folder of a model with weights in the format `dtype`. The same seed gives the same weights."""
    os.makedirs(folder)
    contents = variables(dimensions, dtype)
    with open(os.path.join(folder, "model.bin"), "wb") as file:
        writer = ctmodel.Writer(file, "WhisperSpec", 3, len(contents))
        for variable in contents:
            writer.begin(variable.name, variable.dtype, variable.shape)
            for piece in _data(variable, dimensions, seed):
                writer.data(piece)
        writer.finish(_ALIASES)
    words = vocabulary(dimensions)
    files: dict[str, object] = {
        "config.json": _config(dimensions, words),
        "vocabulary.json": words,
        "tokenizer.json": _tokenizer(words),
        "preprocessor_config.json": {"feature_size": dimensions.mel_bands, "hop_length": 160, "n_fft": 400},
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as text:
            json.dump(content, text)


def variables(dimensions: Dimensions, dtype: Dtype) -> list[Variable]:
    """Return what is in the model.bin, as CTranslate2's converter names and sorts it."""
    width = dimensions.width
    shapes: dict[str, tuple[int, ...]] = {
        "encoder/conv1/weight": (width, dimensions.mel_bands, 3),
        "encoder/conv1/bias": (width,),
        "encoder/conv2/weight": (width, width, 3),
        "encoder/conv2/bias": (width,),
        "encoder/position_encodings/encodings": (ENCODER_POSITIONS, width),
        "decoder/position_encodings/encodings": (DECODER_POSITIONS, width),
        "decoder/embeddings/weight": (dimensions.vocabulary, width),
        **_norm("encoder/layer_norm", width),
        **_norm("decoder/layer_norm", width),
    }
    for layer in range(dimensions.encoder_layers):
        shapes |= _layer(f"encoder/layer_{layer}", width)
    for layer in range(dimensions.decoder_layers):
        attention = f"decoder/layer_{layer}/attention"
        shapes |= _layer(f"decoder/layer_{layer}", width) | _norm(f"{attention}/layer_norm", width)
        shapes |= _linear(f"{attention}/linear_0", width, width) | _linear(f"{attention}/linear_1", 2 * width, width)
        shapes |= _linear(f"{attention}/linear_2", width, width)
    found = [Variable(name, dtype, shape) for name, shape in shapes.items()]
    found += [Variable(name, scalar_dtype, ()) for name, (scalar_dtype, _) in _scalars(dimensions).items()]
    return sorted(found, key=lambda variable: variable.name)


def _layer(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return (
        _norm(f"{name}/self_attention/layer_norm", width)
        | _linear(f"{name}/self_attention/linear_0", 3 * width, width)
        | _linear(f"{name}/self_attention/linear_1", width, width)
        | _norm(f"{name}/ffn/layer_norm", width)
        | _linear(f"{name}/ffn/linear_0", 4 * width, width)
        | _linear(f"{name}/ffn/linear_1", width, 4 * width)
    )


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/weight": (outputs, inputs), f"{name}/bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/gamma": (width,), f"{name}/beta": (width,)}


def _scalars(dimensions: Dimensions) -> dict[str, tuple[Dtype, int]]:
    return {
        "encoder/num_heads": (Dtype.INT16, dimensions.heads),
        "decoder/num_heads": (Dtype.INT16, dimensions.heads),
        "decoder/alignment_heads": (Dtype.INT16, 1),
        "decoder/alignment_layer": (Dtype.INT16, -1),
        "decoder/activation": (Dtype.INT8, 3),  # GELU
        "decoder/pre_norm": (Dtype.INT8, 1),
        "decoder/alibi": (Dtype.INT8, 0),
        "decoder/alibi_use_positive_positions": (Dtype.INT8, 0),
        "decoder/scale_alibi": (Dtype.INT8, 0),
        "decoder/scale_embeddings": (Dtype.INT8, 0),
        "decoder/start_from_zero_embedding": (Dtype.INT8, 0),
    }


def _data(variable: Variable, dimensions: Dimensions, seed: int) -> Iterator[bytes]:
    if not variable.shape:
        dtype, value = _scalars(dimensions)[variable.name]
        yield value.to_bytes(dtype.item_bytes, "little", signed=True)
        return
    generator = np.random.default_rng([seed, zlib.crc32(variable.name.encode())])
    # Uniform with the spread that keeps the size of what passes through; biases, norms and positions are small.
    reach = math.sqrt(3 / math.prod(variable.shape[1:])) if variable.name.endswith("weight") else 0.05
    offset = 1 if variable.name.endswith("gamma") else 0
    elements = math.prod(variable.shape)
    for start in range(0, elements, _BLOCK_ELEMENTS):
        values = generator.random(min(_BLOCK_ELEMENTS, elements - start), np.float32)
        values -= np.float32(0.5)
        values *= np.float32(2 * reach)
        values += np.float32(offset)
        yield as_bytes(values, variable.dtype)


def as_bytes(values: npt.NDArray[np.float32], dtype: Dtype) -> bytes:
    """Return `values` in one of the float formats. bfloat16 is cut, not rounded."""
    if dtype == Dtype.BFLOAT16:
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(np.float16 if dtype == Dtype.FLOAT16 else np.float32, copy=False).tobytes()


def vocabulary(dimensions: Dimensions) -> list[str]:
    """Return the tokens: the special ones by name and in their places, the others by number."""
    is_multilingual = dimensions.vocabulary != ENGLISH_VOCABULARY
    # Real models have another order; as there, English is the first and Cantonese came last, with large-v3.
    languages = sorted(LANGUAGES, key=lambda code: (code != "en", code == "yue", code))[: dimensions.languages]
    names = ["endoftext", "startoftranscript", *languages, "translate", "transcribe", "startoflm", "startofprev"]
    special = [f"<|{name}|>" for name in (*names, "nospeech", "notimestamps")]
    timestamps = [f"<|{0.02 * number:.2f}|>" for number in range(TIMESTAMPS)]
    text_tokens = dimensions.vocabulary - len(special) - TIMESTAMPS - is_multilingual
    # CTranslate2 takes a model with an empty token for a multilingual one.
    return [*(f"t{number}" for number in range(text_tokens)), *[""] * is_multilingual, *special, *timestamps]


def _config(dimensions: Dimensions, words: Sequence[str]) -> dict[str, object]:
    first = words.index("<|en|>")
    return {
        "alignment_heads": [[dimensions.decoder_layers - 1, 0]],
        "lang_ids": list(range(first, first + dimensions.languages)),
        "suppress_ids": [],
        "suppress_ids_begin": [words.index("<|endoftext|>")],
    }


def _tokenizer(words: Sequence[str]) -> dict[str, object]:
    special = [
        {"id": number, "content": word, "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
        for number, word in enumerate(words)
        if word.startswith("<|")
    ]
    numbers = {word: number for number, word in enumerate(words)}
    return {
        "version": "1.0",
        "added_tokens": special,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": numbers, "unk_token": words[0]},
    }


def main() -> None:
    """Write one model."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.models", description=__doc__)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder")
    parser.add_argument("--format", choices=_FORMATS, default="float16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.folder, SIZES[options.size], _FORMATS[options.format], options.seed)


if __name__ == "__main__":
    main()
