"""The Muon optimiser: momentum whose matrices are made nearly orthogonal before they are applied.

Learns about twice as fast as AdamW here; it is for the matrices of the hidden layers only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_WEIGHT_DECAY = 0.02
_NEWTON_SCHULZ_STEPS = 5
_NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon:
    """Parameters of more than two dimensions count as (first dimension, all others)."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._groups: dict[tuple[int, int], list[nn.Parameter]] = {}
        for parameter in parameters:
            rows = parameter.shape[0]
            self._groups.setdefault((rows, parameter.numel() // rows), []).append(parameter)
        # Matrices of one shape are worked on in one batch (count, rows, columns).
        self._momenta = {shape: torch.zeros(len(group), *shape) for shape, group in self._groups.items()}

    def step(self, learning_rate: float) -> None:
        """Apply the gradients; every parameter must have one."""
        with torch.no_grad():
            for shape, group in self._groups.items():
                rows, columns = shape
                gradients = torch.stack([_gradient(parameter).reshape(shape) for parameter in group])
                momentum = self._momenta[shape]
                momentum.lerp_(gradients, 1 - _MOMENTUM)
                updates = _orthogonalised(gradients.lerp(momentum, _MOMENTUM))
                scale = learning_rate * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(group, updates, strict=True):
                    parameter.mul_(1 - learning_rate * _WEIGHT_DECAY)
                    parameter.add_(update.reshape(parameter.shape), alpha=-scale)


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        raise ValueError(f"a parameter of shape {tuple(parameter.shape)} has no gradient")
    return parameter.grad


def _orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices (count, rows, columns) whose singular values are moved towards 1 by a Newton-Schulz iteration."""
    linear, cubic, quintic = _NEWTON_SCHULZ_COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    if is_tall:
        matrices = matrices.transpose(1, 2)
    matrices = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(_NEWTON_SCHULZ_STEPS):
        squares = matrices @ matrices.transpose(1, 2)
        matrices = linear * matrices + (cubic * squares + quintic * (squares @ squares)) @ matrices
    matrices = matrices.float()
    return matrices.transpose(1, 2) if is_tall else matrices
