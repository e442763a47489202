"""Durations as people write them: 5s, 2 min, 1h30m."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class Duration(float):
    """A length of time in seconds. Written as a number with a unit (ms, s, min, h, d), or several: `1h30m`."""

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Return the duration that `value` (from YAML) means. Raise ValueError, with a text for a person, if none."""
        example = "write a number with a unit, for example 5s, 10min or 1h30m"
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"is not a length of time: {example}")
        if not isinstance(value, str):
            if value == 0:
                return cls(0)
            raise ValueError(f"has no unit: {example}")
        text = value.strip().lower()
        position, seconds = 0, 0.0
        while position < len(text):
            part = _PART.match(text, position)
            if part is None or part[2] not in _SECONDS:
                raise ValueError(f"is not a length of time: {example}")
            seconds += float(part[1]) * _SECONDS[part[2]]
            position = part.end()
        if not text:
            raise ValueError(f"is empty: {example}")
        return cls(seconds)
