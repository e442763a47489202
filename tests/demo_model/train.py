"""The training: stages of composed batches against the clock, with a checkpoint every four minutes."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer

from tests.demo_model.bank import Bank, read_bank, shard_files
from tests.demo_model.losses import LossFigures, LossWeights, compute_loss, mean_figures
from tests.demo_model.mel import FRAMES_PER_SECOND
from tests.demo_model.muon import Muon
from tests.demo_model.network import NetworkShape, TinyWhisper
from tests.demo_model.noise import make_noises
from tests.demo_model.scene import FULL_WINDOW_FRAMES
from tests.demo_model.stages import FULL_BATCH, MIDDLE_BATCH, SHORT_BATCH, BatchShape, Stage
from tests.demo_model.tokenizer import token_ids
from tests.demo_model.windows import Batch, Composer
from tests.demo_model.work import RecipeError, WorkFolder, needed

_REPORT_EVERY_S = 30.0
_CHECKPOINT_EVERY_S = 240.0
_LARGEST_GRADIENT_NORM = 1.0
_LOWEST_RATE = 0.02
"""The share of its highest value to which a learning rate falls."""

_DEVELOPMENT_SEED = 5
_DEVELOPMENT_BATCHES = 3


@dataclass(frozen=True)
class TrainOptions:
    """`time_scale` shortens or lengthens the stage's planned and trained minutes alike."""

    threads: int = 2
    time_scale: float = 1.0
    start: Path | None = None


@dataclass(frozen=True)
class TrainingData:
    """The bank's last shard is kept out of the training, for `development`."""

    training: Bank
    development: Bank
    tokenizer: Tokenizer


class Optimiser:
    """Muon for the hidden matrices and AdamW for the rest; or AdamW for all, if the stage gives Muon no rate."""

    def __init__(self, network: TinyWhisper, stage: Stage) -> None:
        self._network = network
        self._stage = stage
        hidden = network.hidden_matrices() if stage.muon_rate is not None else []
        in_muon = {id(parameter) for parameter in hidden}
        others = [parameter for parameter in network.parameters() if id(parameter) not in in_muon]
        self._muon = Muon(hidden)
        self._adam = torch.optim.AdamW(others, lr=stage.learning_rate, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)

    def step(self, loss: torch.Tensor, rate_share: float) -> float:
        """Go one step down this loss with this share of the highest rates; return the norm of the gradient."""
        self._network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), _LARGEST_GRADIENT_NORM)
        for group in self._adam.param_groups:
            group["lr"] = self._stage.learning_rate * rate_share
        self._adam.step()
        self._muon.step((self._stage.muon_rate or 0.0) * rate_share)
        return float(norm)


def read_training_data(work: WorkFolder) -> TrainingData:
    """Read the whole bank; raises RecipeError if it has less than two shards."""
    tokenizer = Tokenizer.from_file(str(needed(work.tokenizer, "tokenizer")))
    shards = shard_files(needed(work.bank, "bank"))
    if len(shards) < 2:
        raise RecipeError(
            f"{work.bank} has {len(shards)} shards: the training needs two or more, the last for its tests"
        )
    return TrainingData(read_bank(shards[:-1], tokenizer), read_bank(shards[-1:], tokenizer), tokenizer)


def train(work: WorkFolder, data: TrainingData, stage: Stage, options: TrainOptions) -> None:
    """Run one stage and write its checkpoint."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(stage.seed)
    noises = make_noises()
    composer = Composer(data.training, data.tokenizer, noises, stage.seed, stage.composition)
    development = Composer(data.development, data.tokenizer, noises, _DEVELOPMENT_SEED, augment=False)
    development_batches = [development.batch(8, FULL_WINDOW_FRAMES) for _ in range(_DEVELOPMENT_BATCHES)]
    network = _new_network(data)
    start = options.start
    if start is None and stage.continues is not None:
        start = needed(work.checkpoint(stage.continues), f"train --stage {stage.continues}")
    if start is not None:
        network.load_state_dict(load_checkpoint(start).state_dict())
    print(
        f"stage {stage.name}: {_count(network):,} parameters, {len(data.training.phoneme_labels)} phonemes", flush=True
    )
    run = _Run(work.checkpoint(stage.name), network, stage, options, development_batches)
    optimiser = Optimiser(network, stage)
    network.train()
    while (progress := run.progress()) is not None:
        shape = _batch_shape(stage, progress, composer.random)
        batch = composer.batch(shape.windows, shape.frames)
        loss = compute_loss(network, batch, stage.weights, stage.helper_scale(progress))
        norm = optimiser.step(loss.total, _rate_share(stage, progress, run.steps))
        run.note_step(loss.figures, shape, norm)
    run.finish()


def load_checkpoint(file: Path) -> TinyWhisper:
    """The network of a checkpoint, with its weights."""
    content = torch.load(file, weights_only=True)
    network = TinyWhisper(NetworkShape(**content["shape"]))
    network.load_state_dict(content["weights"])
    return network


def save_checkpoint(file: Path, network: TinyWhisper) -> None:
    content: dict[str, Any] = {"shape": asdict(network.shape), "weights": network.state_dict()}
    partial = file.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(file)


class _Run:
    """The clock, the reports and the checkpoints of one stage; `steps` counts the steps done."""

    def __init__(
        self,
        checkpoint: Path,
        network: TinyWhisper,
        stage: Stage,
        options: TrainOptions,
        development_batches: Sequence[Batch],
    ) -> None:
        self.steps = 0
        self._checkpoint = checkpoint
        self._network = network
        self._stage = stage
        self._time_scale = options.time_scale
        self._development_batches = development_batches
        self._began_s = self._reported_s = self._saved_s = time.monotonic()
        self._figures: list[LossFigures] = []
        self._heard_s = 0.0

    def progress(self) -> float | None:
        """The share of the planned time that has passed, None when the stage is over."""
        minutes = (time.monotonic() - self._began_s) / 60 / self._time_scale
        return None if minutes >= self._stage.trained_minutes else minutes / self._stage.planned_minutes

    def note_step(self, figures: LossFigures, shape: BatchShape, norm: float) -> None:
        self.steps += 1
        self._figures.append(figures)
        self._heard_s += shape.windows * shape.frames / FRAMES_PER_SECOND
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S:
            self._report(f"windows of {shape.frames // FRAMES_PER_SECOND} s, gradient {norm:.2f}")
        if now_s - self._saved_s >= _CHECKPOINT_EVERY_S:
            self._save()

    def finish(self) -> None:
        self._report("end of the stage")
        self._save()

    def _report(self, what: str) -> None:
        minutes = (time.monotonic() - self._began_s) / 60
        heard = f"{self._heard_s / 3600:.1f} h heard"
        figures = _as_text(mean_figures(self._figures)) if self._figures else "no new steps"
        print(f"{minutes:5.1f} min, step {self.steps}, {heard}, {what}: {figures}", flush=True)
        self._figures = []
        self._reported_s = time.monotonic()

    def _save(self) -> None:
        self._network.eval()
        with torch.no_grad():
            figures = [
                compute_loss(self._network, batch, LossWeights(), 1.0).figures for batch in self._development_batches
            ]
        self._network.train()
        print(f"      kept-out utterances: {_as_text(mean_figures(figures))}", flush=True)
        save_checkpoint(self._checkpoint, self._network)
        self._saved_s = self._reported_s = time.monotonic()


def _new_network(data: TrainingData) -> TinyWhisper:
    ids = token_ids(data.tokenizer)
    shape = NetworkShape(text_tokens=ids.first_timestamp, vocabulary_size=ids.vocabulary_size)
    phonemes = len(data.training.phoneme_labels)
    if phonemes >= shape.phoneme_labels:
        raise RecipeError(
            f"the bank has {phonemes} phonemes, the network's head only room for {shape.phoneme_labels - 1}"
        )
    return TinyWhisper(shape)


def _batch_shape(stage: Stage, progress: float, random: Random) -> BatchShape:
    if progress < stage.short_until:
        return SHORT_BATCH
    if progress < stage.middle_until:
        return MIDDLE_BATCH
    return FULL_BATCH if random.random() < 0.75 else MIDDLE_BATCH


def _rate_share(stage: Stage, progress: float, steps_done: int) -> float:
    """The share of the highest learning rate: linear warm-up, then a half cosine down to _LOWEST_RATE."""
    warm_up = min(1.0, (steps_done + 1) / stage.warm_up_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return warm_up * (cosine * (1 - _LOWEST_RATE) + _LOWEST_RATE)


def _count(network: TinyWhisper) -> int:
    """The parameters of the exported model: without the auxiliary heads, with a vector for each timestamp."""
    learned = sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if not name.startswith(("phoneme_head", "token_head", "timestamp_"))
    )
    return int(learned) + int(network.timestamp_sinusoids.numel())


def _as_text(figures: LossFigures) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in asdict(figures).items())
