"""Whisper's architecture (encoder and decoder, normalised before each block, tied embeddings), only very small.

Shapes: B windows of L mel frames, E = L/2 encoder frames, T tokens, W the width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.demo_model.mel import MEL_BANDS
from tests.demo_model.windows import ENCODER_FRAMES

_DECODER_POSITIONS = 448


@dataclass(frozen=True)
class NetworkShape:
    """The sizes of a network; the defaults are those of the demo model.

    `text_tokens` counts all tokens but the timestamps, `phoneme_labels` is room for all phonemes of a bank.
    """

    text_tokens: int
    vocabulary_size: int
    width: int = 128
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 2
    hidden_width: int = 512
    phoneme_labels: int = 160


@dataclass(frozen=True)
class Encoded:
    """`memory` (B, E, W) is what the decoder listens to; `middle` (B, E, W) comes out before the last layer."""

    memory: Tensor
    middle: Tensor


@dataclass(frozen=True)
class Decoded:
    """`logits` (B, T, vocabulary) of the token to follow; `attention` (B, heads, T, E) of each decoder layer."""

    logits: Tensor
    attention: Sequence[Tensor]


class Attention(nn.Module):  # type: ignore[misc,unused-ignore]  # nn.Module is Any where torch is not installed
    """Attention with several heads; Whisper's keys have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, states: Tensor, *, is_causal: bool) -> Tensor:
        """Self-attention over (B, n, W)."""
        query, key, value = (self._split(part(states)) for part in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
        return self._join(attended)

    def listen(self, states: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Attention from (B, T, W) to a memory (B, E, W): the result (B, T, W) and the weights (B, heads, T, E)."""
        query, key, value = (
            self._split(self.query(states)),
            self._split(self.key(memory)),
            self._split(self.value(memory)),
        )
        weights = ((query @ key.transpose(-1, -2)).float() / math.sqrt(query.shape[-1])).softmax(-1)
        return self._join(weights.to(value.dtype) @ value), weights

    def _split(self, states: Tensor) -> Tensor:
        batch, length, _ = states.shape
        return states.view(batch, length, self.heads, -1).transpose(1, 2)

    def _join(self, attended: Tensor) -> Tensor:
        joined: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return joined


class EncoderLayer(nn.Module):  # type: ignore[misc,unused-ignore]
    def __init__(self, width: int, heads: int, hidden_width: int) -> None:
        super().__init__()
        self.self_attention_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden_width)
        self.contract = nn.Linear(hidden_width, width)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.self_attention(self.self_attention_norm(states), is_causal=False)
        fed_forward: Tensor = self.contract(functional.gelu(self.expand(self.feed_forward_norm(states))))
        return states + fed_forward


class DecoderLayer(nn.Module):  # type: ignore[misc,unused-ignore]
    def __init__(self, width: int, heads: int, hidden_width: int) -> None:
        super().__init__()
        self.self_attention_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, heads)
        self.cross_attention_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden_width)
        self.contract = nn.Linear(hidden_width, width)

    def forward(self, states: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The new states (B, T, W) and the weights of the attention to the memory (B, heads, T, E)."""
        states = states + self.self_attention(self.self_attention_norm(states), is_causal=True)
        heard, weights = self.cross_attention.listen(self.cross_attention_norm(states), memory)
        states = states + heard
        return states + self.contract(functional.gelu(self.expand(self.feed_forward_norm(states)))), weights


class TinyWhisper(nn.Module):  # type: ignore[misc,unused-ignore]
    """The network; its two auxiliary heads (phonemes, and the token heard in each frame) serve the training only."""

    encoder_positions: Tensor
    timestamp_sinusoids: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.first_convolution = nn.Conv1d(MEL_BANDS, width, 3, padding=1)
        self.second_convolution = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("encoder_positions", sinusoids(ENCODER_FRAMES, width))
        self.encoder = nn.ModuleList(
            EncoderLayer(width, shape.heads, shape.hidden_width) for _ in range(shape.encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(width)
        self.text_embedding = nn.Parameter(torch.randn(shape.text_tokens, width) * 0.05)
        self.register_buffer("timestamp_sinusoids", sinusoids(shape.vocabulary_size - shape.text_tokens, width))
        self.timestamp_map = nn.Parameter(torch.eye(width) * 0.06)
        self.timestamp_bias = nn.Parameter(torch.zeros(width))
        self.decoder_positions = nn.Parameter(torch.randn(_DECODER_POSITIONS, width) * 0.01)
        self.decoder = nn.ModuleList(
            DecoderLayer(width, shape.heads, shape.hidden_width) for _ in range(shape.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.phoneme_head = nn.Linear(width, shape.phoneme_labels)
        self.token_head = nn.Linear(width, shape.text_tokens + 1)  # the last one: no token is heard
        self._initialise()

    def embedding(self) -> Tensor:
        """The vectors of all tokens (vocabulary, W).

        The timestamps' are a learned linear map of sinusoids, so that all 1501 are learned at once.
        """
        timestamps = self.timestamp_sinusoids @ self.timestamp_map + self.timestamp_bias
        return torch.cat([self.text_embedding, timestamps])

    def encode(self, features: Tensor, position_offsets: Tensor | None = None) -> Encoded:
        """Features (B, 80, L); the offsets (B,) are encoder frames, None if all windows begin at 0."""
        states = functional.gelu(self.first_convolution(features))
        states = functional.gelu(self.second_convolution(states)).transpose(1, 2)
        length = states.shape[1]
        if position_offsets is None:
            states = states + self.encoder_positions[:length]
        else:
            states = states + self.encoder_positions[position_offsets[:, None] + torch.arange(length)[None]]
        middle = states
        for layer in self.encoder_layers():
            middle, states = states, layer(states)
        return Encoded(memory=self.encoder_norm(states), middle=middle)

    def decode(self, tokens: Tensor, memory: Tensor) -> Decoded:
        """Tokens (B, T) and a memory (B, E, W)."""
        embedding = self.embedding()
        states = functional.embedding(tokens, embedding) + self.decoder_positions[: tokens.shape[1]]
        attention: list[Tensor] = []
        for layer in self.decoder_layers():
            states, weights = layer(states, memory)
            attention.append(weights)
        return Decoded(logits=self.decoder_norm(states) @ embedding.t(), attention=attention)

    def encoder_layers(self) -> list[EncoderLayer]:
        return [layer for layer in self.encoder if isinstance(layer, EncoderLayer)]

    def decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The weights of the convolutions and the layers: all matrices but embeddings and auxiliary heads."""
        others = ("text_embedding", "timestamp_", "decoder_positions", "phoneme_head", "token_head")
        return [
            parameter
            for name, parameter in self.named_parameters()
            if parameter.ndim >= 2 and not name.startswith(others)
        ]

    def _initialise(self) -> None:
        with torch.no_grad():
            for name, module in self.named_modules():
                if not isinstance(module, nn.Linear):
                    continue
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
                if name.endswith((".output", ".contract")):  # what is added to the states begins softly
                    module.weight.mul_(0.5)


def sinusoids(length: int, width: int) -> Tensor:
    """Whisper's positions (length, width): sines and cosines whose periods grow up to 10000 * 2 pi."""
    step = math.log(10_000) / (width // 2 - 1)
    frequencies = torch.exp(-step * torch.arange(width // 2).float())
    angles = torch.arange(length).float()[:, None] * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], 1)
