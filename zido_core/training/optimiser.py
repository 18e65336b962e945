"""What makes a step of a gradient.

``muon`` (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") makes the singular values of
a linear layer's step equal, so that directions in which the gradient is small are learnt, too; everything that is not
the matrix of a linear layer is AdamW's. Steps are scaled to the size that AdamW's have (Liu et al. 2025, "Muon is
scalable for LLM training"), so that one learning rate serves both.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Optimiser = Literal["adamw", "adam", "sgd", "muon"]
"""Adam with decoupled weight decay, plain Adam, gradient descent with a momentum of 0.9, or Muon with AdamW."""


def optimizers_of(network: nn.Module, kind: Optimiser, weight_decay: float) -> tuple[torch.optim.Optimizer, ...]:
    """The optimisers of everything in ``network`` that is not frozen; their learning rate is set at every step."""
    learnt = [value for value in network.parameters() if value.requires_grad]
    if kind == "sgd":
        return (torch.optim.SGD(learnt, momentum=0.9, weight_decay=weight_decay),)
    if kind == "adam":
        return (torch.optim.Adam(learnt),)
    matrices: list[torch.Tensor] = []
    if kind == "muon":
        linear = [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear)]
        matrices = [weight for weight in linear if weight.requires_grad]
    chosen = set(matrices)
    others = [value for value in learnt if value not in chosen]
    adamw = torch.optim.AdamW(others, weight_decay=weight_decay, betas=(0.9, 0.99))
    if not matrices:
        return (adamw,)
    return (torch.optim.Muon(matrices, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"), adamw)
