"""The working folder of the recipe: which step writes what, and which step needs it."""

from dataclasses import dataclass
from pathlib import Path


class RecipeError(Exception):
    """A step cannot be done; the message says what to do instead."""


@dataclass(frozen=True)
class WorkFolder:
    """The paths below one folder; nothing is written outside it."""

    root: Path

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer.json"

    @property
    def held_out(self) -> Path:
        return self.root / "heldout.txt"

    @property
    def bank(self) -> Path:
        return self.root / "bank"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def checkpoint(self, stage: str) -> Path:
        return self.root / f"{stage}.pt"

    def model(self, quantization: str) -> Path:
        return self.root / f"model-{quantization}"


def needed(path: Path, step: str) -> Path:
    """The path, if it is there; raises RecipeError that names the step which makes it."""
    if not path.exists():
        raise RecipeError(f"{path} is missing: do the step '{step}' first")
    return path
