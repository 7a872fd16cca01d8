"""Batch norm whose statistics come from a stated part of the global batch, however many processes hold it.

The global batch (all processes, rank 0 first) is split into `groups` equal runs of samples, each normalised by its
own mean and variance. groups = 1 is synchronised batch norm, groups = world is the usual per-device one, and
groups = 4 on one process computes what four devices would. torch's SyncBatchNorm refuses CPU tensors, this does not.
Running statistics are the mean over groups, so they are the same on every process.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from vesalius.errors import SettingError
from vesalius.models.ranks import gather, rank, total, world


class GroupedBatchNorm(_BatchNorm):
    """Batch norm over `groups` groups of the global batch; keys of its state dict, and eval, are nn.BatchNorm's."""

    groups: int = 1

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of spatial axes."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) -> (B, C, *S) with B of this process. SettingError where the groups do not fit B or the world."""
        if not self.training or (self.groups == 1 and world() == 1):
            return super().forward(x)
        check(self.groups, len(x), world())
        if self.groups == 1:
            y, mean, variance = self._synchronised(x)
        else:
            y, mean, variance = self._grouped(x, self.groups // world())
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            momentum = self._count()
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance, momentum)
        return y

    def _count(self) -> float:
        """One more batch seen; the weight of its statistics in the running ones (momentum None: plain mean)."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1 / float(self.num_batches_tracked)
        return self.momentum or 0.0

    def _grouped(self, x: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised `x` in n local groups, and the (C,) mean and unbiased variance averaged over all groups."""
        statistics = x.new_zeros((2, n, self.num_features), dtype=torch.promote_types(x.dtype, torch.float32))
        normalised = [  # with momentum 1 the native kernel writes the group's own statistics
            functional.batch_norm(part, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            for part, mean, variance in zip(x.chunk(n), *statistics, strict=True)
        ]
        y = normalised[0] if n == 1 else torch.cat(normalised)
        mean, variance = total(statistics.mean(1)) / world()
        return y, mean, variance

    def _synchronised(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised `x` by the statistics of all processes, and those: (C,) mean and unbiased variance."""
        axes, shape = [0, *range(2, x.ndim)], (1, -1) + (1,) * (x.ndim - 2)
        x32 = x.to(torch.promote_types(x.dtype, torch.float32))
        n = total(x32.new_tensor([x.numel() / x.shape[1]]))
        mean = total(x32.sum(axes)) / n
        centred = x32 - mean.view(shape)
        variance = total(centred.square().sum(axes)) / n  # in a second pass: E[x^2] - E[x]^2 cancels in fp32
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        y = centred * scale.view(shape)
        y = y if self.bias is None else y + self.bias.view(shape)
        return y.to(x.dtype), mean.detach(), variance.detach() * n / (n - 1)


def check(groups: int, batch: int, processes: int) -> None:
    """SettingError unless `processes` times `batch` samples split into `groups` groups of two or more, as this module can."""
    if groups < 1 or (groups > 1 and (groups % processes or batch % max(1, groups // processes))):
        raise SettingError(
            f"{groups} batch norm groups do not split {processes} x {batch} samples evenly",
            remedy="Choose 1, or a multiple of the number of processes that divides the global batch.",
        )
    if processes * batch // groups < 2:
        reason = f"{groups} batch norm groups leave one of {processes} x {batch} samples in each"
        raise SettingError(reason, remedy="Use fewer groups, or a larger batch: the statistics need two samples.")


def convert(module: nn.Module, groups: int) -> nn.Module:
    """`module` with every batch norm over `groups` groups, sharing its parameters and buffers; in place but for a root.

    Call it when the processes are up: one group on one process keeps torch's own batch norm, which is the same.
    """
    if groups == 1 and world() == 1:
        return module
    if isinstance(module, _BatchNorm):
        return _regroup(module, groups)
    for name, child in module.named_children():
        setattr(module, name, convert(child, groups))
    return module


def _regroup(norm: _BatchNorm, groups: int) -> GroupedBatchNorm:
    new = GroupedBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new.groups, new.training = groups, norm.training
    new._parameters, new._buffers = norm._parameters, norm._buffers
    return new


@contextmanager
def unrecorded(module: nn.Module) -> Iterator[None]:
    """Inside, the running statistics of `module` stay as they are: batches that no later image resembles leave no trace."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def shuffle(x: Tensor, permutation: Tensor | np.ndarray) -> Tensor:
    """Row i of the global batch becomes row permutation[i]: keys meet other groups' statistics than their queries do.

    x: (B, ...) of this process; permutation: (world * B,), the same everywhere. No gradient. MoCo's shuffled BN.
    """
    return _take(x, torch.as_tensor(permutation, device=x.device))


def unshuffle(x: Tensor, permutation: Tensor | np.ndarray) -> Tensor:
    """The inverse of `shuffle` with the same `permutation`, for what a network made of the rows."""
    return _take(x, torch.argsort(torch.as_tensor(permutation, device=x.device)))


def _take(x: Tensor, order: Tensor) -> Tensor:
    everyone = gather(x)
    if len(order) != len(everyone):
        raise ValueError(f"a permutation of {len(order)} cannot shuffle a global batch of {len(everyone)}")
    return everyone[order[rank() * len(x) : (rank() + 1) * len(x)]]
