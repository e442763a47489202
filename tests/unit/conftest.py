"""What the unit tests share: how hypothesis searches, where the samples lie, a file mode that does not surprise."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The same examples each time, so that a red test is red for everybody. `HYPOTHESIS_PROFILE=search pytest tests/unit`
# looks for new ones, and longer.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder with the sample recordings."""
    return Path(__file__).parents[1] / "samples" / "recordings"


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Have new files readable by all for as long as the test runs."""
    before = os.umask(0o022)
    yield
    os.umask(before)
