"""Files that ship with stenod: the demo model, the example configuration, the sample recordings.

An installed stenod carries them inside the package (`stenod/bundled/`, see pyproject.toml); a checkout uses the ones
that lie at its top level, so that there is one copy of each.
"""

import os

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
_CHECKOUT = os.path.dirname(os.path.dirname(_PACKAGE))


def _find(inside_package: str, inside_checkout: str) -> str:
    packaged = os.path.join(_PACKAGE, "bundled", inside_package)
    return packaged if os.path.exists(packaged) else os.path.join(_CHECKOUT, inside_checkout)


DEMO_MODEL = _find("hub/demo", "hub/demo")
EXAMPLE_CONFIG = _find("config/stenod.example.yaml", "config/stenod.example.yaml")
SAMPLES = _find("samples", "tests/samples/recordings")
