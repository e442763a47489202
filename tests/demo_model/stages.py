"""The schedule of the training: which stages there are, and what each does when.

The delivered model was made in two stages, since a better recipe was found on the way. The first ran an earlier form of
this training: AdamW for all parameters and no loss on the frames' tokens; it was planned for 60 minutes and left after
28.5. The second went on from there with Muon and that loss. What else the first stage may have done differently was not
kept. A schedule goes by the clock, not by steps, so no two runs give the same weights.
"""

from dataclasses import dataclass, field

from tests.demo_model.losses import LossWeights
from tests.demo_model.scene import FULL_WINDOW_FRAMES
from tests.demo_model.windows import DELIVERED_COMPOSITION, LONG_PROMPT_COMPOSITION, CompositionSettings

_HELPERS_FADE_AT = 0.7
"""The share of the planned time after which the helpers of the loss count half."""


@dataclass(frozen=True)
class BatchShape:
    """So many windows of so many mel frames."""

    windows: int
    frames: int


SHORT_BATCH = BatchShape(40, 500)
MIDDLE_BATCH = BatchShape(20, 1_000)
FULL_BATCH = BatchShape(8, FULL_WINDOW_FRAMES)


@dataclass(frozen=True)
class Stage:
    """One run of the training.

    The learning rates fall from their highest along a half cosine over `planned_minutes`; the run ends after
    `trained_minutes`. Up to the share `short_until` of the planned time the windows last 5 s, up to `middle_until`
    10 s, then 30 s, with a quarter of 10 s in between. `muon_rate` None means AdamW for all parameters. `continues` is
    the stage whose checkpoint this one begins with, None for random weights.
    """

    name: str
    planned_minutes: float
    trained_minutes: float
    learning_rate: float
    muon_rate: float | None
    short_until: float
    middle_until: float
    warm_up_steps: int
    seed: int
    continues: str | None = None
    composition: CompositionSettings = DELIVERED_COMPOSITION
    weights: LossWeights = field(default_factory=LossWeights)

    def helper_scale(self, progress: float) -> float:
        """The weight of the loss's helpers at this share of the planned time."""
        return 1.0 if progress < _HELPERS_FADE_AT else 0.5


FIRST = Stage(
    name="first",
    planned_minutes=60,
    trained_minutes=28.5,
    learning_rate=2e-3,
    muon_rate=None,
    short_until=0.15,
    middle_until=0.42,
    warm_up_steps=150,
    seed=1,
    weights=LossWeights(frame_token=0.0),
)
SECOND = Stage(
    name="second",
    planned_minutes=45,
    trained_minutes=45,
    learning_rate=1.2e-3,
    muon_rate=0.006,
    short_until=0.08,
    middle_until=0.33,
    warm_up_steps=60,
    seed=2,
    continues="first",
)
LONG_PROMPTS = Stage(
    name="long-prompts",
    planned_minutes=12,
    trained_minutes=12,
    learning_rate=4e-4,
    muon_rate=0.002,
    short_until=0.0,
    middle_until=0.0,
    warm_up_steps=30,
    seed=1,
    continues="second",
    composition=LONG_PROMPT_COMPOSITION,
)
"""Not part of the delivered model, and never run in full: it should teach the model to bear its own text as a prompt
(condition_on_previous_text)."""

DELIVERED_STAGES = (FIRST, SECOND)
STAGES = {stage.name: stage for stage in (*DELIVERED_STAGES, LONG_PROMPTS)}
