"""Lengths of time and sizes as people write them: 5s, 1h30m, 20GB."""

import math
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
        if not math.isfinite(seconds):
            raise ValueError(f"is not a length of time: {example}")
        return cls(seconds)

    def __str__(self) -> str:
        for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            if self >= length and self % length == 0:
                return f"{self / length:.0f}{unit}"
        return f"{float(self):g}s"


_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


class Size(int):
    """A number of bytes. Written with a unit: 500MB, 20GB (powers of 1000), 20GiB (of 1024)."""

    @classmethod
    def parse(cls, value: object) -> "Size":
        """Return the size that `value` (from YAML) means. Raise ValueError, with a text for a person, if none."""
        example = "write a number with a unit, for example 500MB or 20GB"
        if isinstance(value, int | float) and not isinstance(value, bool):
            if value == 0:
                return cls(0)
            raise ValueError(f"has no unit: {example}")
        part = _PART.fullmatch(value.lower()) if isinstance(value, str) else None
        if part is None or part[2] not in _BYTES:
            raise ValueError(f"is not a size: {example}")
        return cls(round(float(part[1]) * _BYTES[part[2]]))

    def __str__(self) -> str:
        for unit, length in reversed(_BYTES.items()):
            if self >= length and self % length == 0 and "i" not in unit:
                return f"{self // length}{unit.upper()}"
        return f"{int(self)}B"
