"""What the training minimises: the answer's tokens, and three helpers that make a network from nothing learn to listen.

The helpers: cross-attention shall look where espeak-ng says that the word is (guided attention); an encoder layer shall
know the phoneme, and the encoder's end the token, that is heard in each frame.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tests.demo_model.network import Decoded, Encoded, TinyWhisper
from tests.demo_model.scene import NO_TOKEN
from tests.demo_model.tokenizer import TIMESTAMP_COUNT
from tests.demo_model.windows import NOWHERE, Batch

_TIMESTAMP_BLUR = 4
"""How many steps to each side a timestamp may be off and still be right in part (a Gaussian of 1.5 steps, 0.03 s)."""

_SHARE_OF_SPOKEN_FRAMES = 0.34
_SHARE_OF_SILENT_FRAMES = 0.04


@dataclass(frozen=True)
class LossWeights:
    """The weights of the helpers; the tokens of the answer count 1."""

    attention: float = 0.15
    previous_attention: float = 0.08
    phoneme: float = 0.3
    frame_token: float = 0.4


@dataclass(frozen=True)
class LossFigures:
    """Mean losses in nats per token, frame or position; accuracies from 0 to 1 (timestamps: within 0.1 s)."""

    text: float
    timestamp: float
    attention: float
    previous_attention: float
    phoneme: float
    frame_token: float
    text_accuracy: float
    timestamp_accuracy: float


@dataclass(frozen=True)
class Loss:
    """`total` is what to call backward on."""

    total: Tensor
    figures: LossFigures


@dataclass(frozen=True)
class _AnswerLoss:
    """`total`: the mean over all tokens; `text` and `timestamp`: the sums over those of a kind, with their counts."""

    total: Tensor
    text: float
    timestamp: float
    text_accuracy: float
    timestamp_accuracy: float


def compute_loss(network: TinyWhisper, batch: Batch, weights: LossWeights, helper_scale: float) -> Loss:
    """The loss of a batch; `helper_scale` multiplies all helpers. The heads' losses are 0 unless in training mode."""
    features = torch.from_numpy(batch.features)
    offsets = torch.from_numpy(batch.position_offsets)
    spans = torch.from_numpy(batch.attention_spans)
    with torch.autocast("cpu", torch.bfloat16):
        encoded = network.encode(features, offsets if offsets.any() else None)
        decoded = network.decode(torch.from_numpy(batch.tokens), encoded.memory)
    answer = _answer_loss(network, decoded, torch.from_numpy(batch.labels))
    last_layer = decoded.attention[-1]
    attention = _attention_loss(last_layer[:, 0], spans) + _attention_loss(last_layer[:, 1], spans)
    # In the first layer one head shall look at the token before: a reader's place in the text.
    previous_spans = torch.full_like(spans, NOWHERE)
    previous_spans[:, 1:] = spans[:, :-1]
    previous_attention = _attention_loss(decoded.attention[0][:, 0], previous_spans)
    phoneme = _phoneme_loss(network, encoded, batch)
    frame_token = _frame_token_loss(network, encoded, batch) if weights.frame_token else torch.zeros(())
    helpers = (
        weights.attention * attention
        + weights.previous_attention * previous_attention
        + weights.phoneme * phoneme
        + weights.frame_token * frame_token
    )
    figures = LossFigures(
        text=answer.text,
        timestamp=answer.timestamp,
        attention=attention.item() / 2,
        previous_attention=previous_attention.item(),
        phoneme=phoneme.item(),
        frame_token=frame_token.item(),
        text_accuracy=answer.text_accuracy,
        timestamp_accuracy=answer.timestamp_accuracy,
    )
    return Loss(answer.total + helper_scale * helpers, figures)


def mean_figures(figures: Sequence[LossFigures]) -> LossFigures:
    """The mean of each figure."""
    rows = [asdict(row) for row in figures]
    return LossFigures(**{name: sum(row[name] for row in rows) / len(rows) for name in rows[0]})


def _answer_loss(network: TinyWhisper, decoded: Decoded, labels: Tensor) -> _AnswerLoss:
    """Cross entropy of the tokens that are asked for; a timestamp's neighbours are almost right."""
    asked = labels >= 0
    log_probabilities = functional.log_softmax(decoded.logits.float()[asked], -1)
    wanted = labels[asked]
    first_timestamp = network.shape.text_tokens
    is_timestamp = wanted >= first_timestamp
    of_text, of_timestamps = log_probabilities[~is_timestamp], log_probabilities[is_timestamp]
    wanted_text, wanted_timestamps = wanted[~is_timestamp], wanted[is_timestamp]
    text = -of_text.gather(1, wanted_text[:, None]).sum()
    timestamp, timestamp_accuracy = torch.zeros(()), torch.zeros(())
    if len(wanted_timestamps):
        neighbours = wanted_timestamps[:, None] + torch.arange(-_TIMESTAMP_BLUR, _TIMESTAMP_BLUR + 1)[None]
        neighbours = neighbours.clamp(first_timestamp, first_timestamp + TIMESTAMP_COUNT - 1)
        timestamp = -(of_timestamps.gather(1, neighbours) * _blur()[None]).sum()
        best_timestamps = of_timestamps[:, first_timestamp:].argmax(-1) + first_timestamp
        timestamp_accuracy = ((best_timestamps - wanted_timestamps).abs() <= 5).float().mean()
    return _AnswerLoss(
        total=(text + timestamp) / asked.sum(),
        text=text.item() / max(1, len(wanted_text)),
        timestamp=timestamp.item() / max(1, len(wanted_timestamps)),
        text_accuracy=(of_text.argmax(-1) == wanted_text).float().mean().item(),
        timestamp_accuracy=timestamp_accuracy.item(),
    )


def _blur() -> Tensor:
    """The weights of a timestamp's neighbours, itself in the middle; they sum to 1."""
    steps = range(-_TIMESTAMP_BLUR, _TIMESTAMP_BLUR + 1)
    weights = torch.tensor([math.exp(-0.5 * (step / 1.5) ** 2) for step in steps])
    return weights / weights.sum()


def _attention_loss(attention: Tensor, spans: Tensor) -> Tensor:
    """How little of one head's attention (B, T, E) lies within the spans (B, T, 2), -log of it in the mean."""
    is_heard = spans[..., 0] >= 0
    if not is_heard.any():
        return torch.zeros(())
    cumulated = functional.pad(attention.cumsum(-1), (1, 0))
    before = cumulated.gather(2, spans[..., :1].clamp(min=0))
    within = cumulated.gather(2, (spans[..., 1:] + 1).clamp(min=0)) - before
    return -torch.log(within.squeeze(-1)[is_heard] + 1e-4).mean()


def _phoneme_loss(network: TinyWhisper, encoded: Encoded, batch: Batch) -> Tensor:
    if not network.training:
        return torch.zeros(())
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.phoneme_head(encoded.middle)
    return functional.cross_entropy(logits.float().flatten(0, 1), torch.from_numpy(batch.phonemes).flatten())


def _frame_token_loss(network: TinyWhisper, encoded: Encoded, batch: Batch) -> Tensor:
    """Cross entropy over a random choice of frames, of the silent ones fewer: all of them would cost too much time."""
    if not network.training:
        return torch.zeros(())
    labels = torch.from_numpy(batch.frame_tokens)
    is_spoken = labels != NO_TOKEN
    draw = torch.rand(labels.shape)
    chosen = draw < torch.where(is_spoken, _SHARE_OF_SPOKEN_FRAMES, _SHARE_OF_SILENT_FRAMES)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.token_head(encoded.memory[chosen])
    wanted = labels[chosen]
    return functional.cross_entropy(logits.float(), torch.where(wanted == NO_TOKEN, network.shape.text_tokens, wanted))
