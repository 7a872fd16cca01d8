"""InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) against a bank of negatives, or against the rest of the batch.

L_i = -log[ e^{q_i k_i / tau} / (e^{q_i k_i / tau} + sum over kept j of e^{q_i p_j / tau}) ]

With a bank: He et al. 2020 (MoCo). In the batch, where each of a pair is the other's key: Chen et al. 2020 (SimCLR).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations_with_replacement, islice
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.losses.pruner import cosines

LEAST_TAU = 0.025  # e^{1 / tau} times the bank's size stays far inside fp32's range, and e^{-1 / tau} a normal number
TILE = {"cpu": 1024}  # side of the tiles of nt_xent, at most; two of them fit a CPU's last cache
_Block = tuple[int, slice]  # view, rows


def info_nce(q: Tensor, k: Tensor, bank: Tensor, tau: float, keep: Tensor | None = None) -> Tensor:
    """q, k (B, d), bank (K, d): unit vectors; keep (B, K) bool -> (B,) losses. The fused form's oracle."""
    positive = (q * k).sum(1, keepdim=True)
    negatives = cosines(q, bank)
    if keep is not None:
        negatives = negatives.masked_fill(~keep, -torch.inf)
    logits = torch.cat([positive, negatives], dim=1) / tau
    return torch.logsumexp(logits, dim=1) - logits[:, 0]


def pruned_info_nce(q: Tensor, k: Tensor, bank: Tensor, gamma: float | None, tau: float) -> tuple[Tensor, Tensor]:
    """InfoNCE without the negatives of cosine >= gamma: mean loss over anchors, and (B,) int64 how many were kept.

    q, k (B, d), bank (K, d): unit vectors; gamma None or above 1 is MoCo's loss. Exact, in one pass over blocks of
    the bank that also makes the gradient to q and k (the bank gets none), in fp32 at least, even under autocast. An anchor
    all of whose negatives are pruned has loss 0 and gradient 0. SettingError for tau under 0.025.
    """
    if tau < LEAST_TAU:
        raise SettingError(f"temperature {tau} would overflow fp32", remedy=f"Use at least {LEAST_TAU}.")
    wanted = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad)
    with torch.autocast(q.device.type, enabled=False):
        q, k, bank = (z.to(torch.promote_types(q.dtype, torch.float32)) for z in (q, k, bank.detach()))
        loss, kept = _Fused.apply(q, k, bank, gamma, tau, wanted)  # type: ignore[no-untyped-call]
        return loss.mean(), kept


@torch.no_grad()
def instance_accuracy(q: Tensor, k: Tensor, bank: Tensor) -> Tensor:
    """q, k (B, d), bank (K, d): scalar share of anchors that are nearer to their own key than to any in the bank."""
    return ((q * k).sum(1) > (q @ bank.T).amax(1)).float().mean()


class _Fused(torch.autograd.Function):
    """With N the mean of the kept negatives weighted by e^{s / tau}, and w the softmax mass of all of them together:
    dL/dq = w (N - k) / tau and dL/dk = -w q / tau, so the forward pass has all that the backward needs."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, bank: Tensor, gamma: float | None, tau: float, wanted: bool
    ) -> tuple[Tensor, Tensor]:
        mass, kept, weighted = _sweep(q, bank, gamma, tau, wanted)
        margin = mass.log() - (q * k).sum(1) / tau  # -inf where all negatives are pruned: loss 0, weight 0, exactly
        if wanted:
            weight = (torch.sigmoid(margin) / tau)[:, None]
            centre = weighted / mass.clamp(min=torch.finfo(mass.dtype).tiny)[:, None]
            ctx.save_for_backward(weight * (centre - k), -weight * q)
        ctx.mark_non_differentiable(kept)
        return functional.softplus(margin), kept

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        to_q, to_k = ctx.saved_tensors
        grad = grad[:, None]
        return (
            grad * to_q if ctx.needs_input_grad[0] else None,
            grad * to_k if ctx.needs_input_grad[1] else None,
            *(None,) * 4,
        )


def _sweep(q: Tensor, bank: Tensor, gamma: float | None, tau: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) sum of e^{s / tau} over kept keys, (B,) int64 their number, (B, d) sum of e^{s / tau} p (if `wanted`).

    No running maximum: cosines of unit vectors bound the exponent. Blocks are small enough for a CPU's last cache,
    and few enough that waiting for one another costs threads little when other processes keep the cores busy.
    """
    block = min(len(bank), 8192 if q.device.type == "cpu" else 16384)
    mass, count, weighted = q.new_zeros(len(q)), q.new_zeros(len(q)), torch.zeros_like(q)
    scores, mask = q.new_empty(block, len(q)), q.new_empty(block, len(q))
    sharp = (q / tau).T
    for keys in torch.split(bank, block):
        s, kept = scores[: len(keys)], mask[: len(keys)]  # (block, B): the faster way round for the products
        torch.mm(keys, sharp, out=s)
        if gamma is not None:
            torch.lt(s, gamma / tau, out=kept)  # as 0 and 1: multiplying and summing floats is faster than bools
        s.exp_()
        if gamma is not None:
            s.mul_(kept)
            count += kept.sum(0)
        mass += s.sum(0)
        if wanted:
            weighted.addmm_(s.T, keys)
    if gamma is None:
        count += len(bank)
    return mass, count.long(), weighted


class Ranks(Protocol):
    """What nt_xent asks of the processes; the module `models.ranks` is one."""

    def rank(self) -> int:
        """This one's number."""
        ...

    def world(self) -> int:
        """How many there are."""
        ...

    def gather(self, x: Tensor, /) -> Tensor:
        """(B, ...) of each, the same B -> (world * B, ...), in rank order, without gradient."""
        ...

    def total(self, x: Tensor, /) -> Tensor:
        """Sum over processes."""
        ...


def nt_xent(z1: Tensor, z2: Tensor, tau: float = 0.1, ranks: Ranks | None = None) -> Tensor:
    """z1, z2 (N, d): unit vectors, row i of both a pair -> scalar mean over all 2N of InfoNCE against the other 2N - 2.

    Chen et al. 2020 (SimCLR, arXiv 2002.05709, eq. 1); tau 0.1 is vox2vec's. Exact loss and gradients in memory that
    grows with N, in fp32 at least; under autocast to bf16, CPUs that have units for it round the factors of its matrix
    products, and nothing else. SettingError for tau under 0.025.

    ranks: negatives come from all processes, whose N may differ, and the work is shared. All get the loss of the pairs of
    all, and gradients whose mean over processes, which DDP takes, is that of one process with all pairs.
    """
    if tau < LEAST_TAU:
        raise SettingError(f"temperature {tau} would overflow fp32", remedy=f"Use at least {LEAST_TAU}.")
    wanted = torch.is_grad_enabled() and (z1.requires_grad or z2.requires_grad)
    dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
    half = torch.is_autocast_enabled(z1.device.type) and torch.get_autocast_dtype(z1.device.type) == torch.bfloat16
    with torch.autocast(z1.device.type, enabled=False), _rounded_factors(half):
        loss: Tensor = _Symmetric.apply(z1.to(dtype), z2.to(dtype), tau, ranks, wanted)  # type: ignore[no-untyped-call]
    return loss


@contextmanager
def _rounded_factors(wanted: bool) -> Iterator[None]:
    """oneDNN takes bf16 units for products of fp32 on a CPU that has them, and sums in fp32; elsewhere nothing changes."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16" if wanted else before
    try:
        yield
    finally:
        matmul.fp32_precision = before


class _Symmetric(torch.autograd.Function):
    """With i' the other of i's pair, s_i = z_i z_i' / tau, E_ij = e^{z_i z_j / tau} where j is neither i nor i', else 0,
    M the sums of its rows, D = M + e^s, and w = M / D:

    L_i = softplus(log M_i - s_i), and 2N tau dL/dz_i = sum over j of E_ij (1 / D_i + 1 / D_j) z_j - (w_i + w_i') z_i'.
    """

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, tau: float, ranks: Ranks | None, wanted: bool) -> Tensor:
        mine = slice(None)
        if ranks is not None:
            z1, z2, mine = _everyone(z1, z2, ranks)
        tiles = _Tiles((z1, z2), tau, ranks)
        positive = (z1 * z2).sum(1) / tau
        margin = tiles.masses().log() - positive  # (2, N)
        loss = functional.softplus(margin)
        if wanted:
            gradient = tiles.weighted(torch.exp(-loss - positive))
            weight = margin.sigmoid().sum(0)[:, None]
            for part, other in zip(gradient, (z2, z1), strict=True):
                part.addcmul_(weight, other, value=-1)
            ctx.save_for_backward(*gradient.div_(loss.numel() * tau)[:, mine])
            ctx.ranks = ranks
        return loss.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad if ctx.ranks is None else ctx.ranks.total(grad)  # everyone's loss depends on this process's rows
        gradients = (grad * g if ctx.needs_input_grad[i] else None for i, g in enumerate(ctx.saved_tensors))
        return *gradients, *(None,) * 3


def _everyone(z1: Tensor, z2: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, slice]:
    """z1, z2 of all processes, and where this one's rows are. Short ones fill up, since gathering wants equal lengths."""
    counts = ranks.gather(torch.tensor([len(z1)], device=z1.device)).tolist()
    filled = functional.pad(torch.stack([z1, z2], 1), (0, 0, 0, 0, 0, max(counts) - len(z1)))
    parts = torch.split(ranks.gather(filled), max(counts))
    everyone = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
    start = sum(counts[: ranks.rank()])
    return everyone[:, 0], everyone[:, 1], slice(start, start + len(z1))


class _Tiles:
    """E in square tiles, of which those on and above the diagonal are made: E is symmetric. z: twice (N, d)."""

    def __init__(self, z: tuple[Tensor, Tensor], tau: float, ranks: Ranks | None) -> None:
        self.z, self.ranks = z, ranks
        self.sharpness = math.log2(math.e) / tau  # 2^x is twice as fast as e^x
        n = len(z[0])
        cuts = -(-n // TILE.get(z[0].device.type, 4096))
        side = -(-n // cuts)
        self.blocks = [(view, slice(start, start + side)) for view in range(2) for start in range(0, n, side)]
        self.memory = z[0].new_empty(2, side * side)

    def masses(self) -> Tensor:
        """(2, N): sums of the rows of E."""
        mass = self.z[0].new_zeros(2, len(self.z[0]))
        for i, j, e in self:
            mass[i] += e.sum(1)
            if i != j:
                mass[j] += e.sum(0)
        return mass if self.ranks is None else self.ranks.total(mass)

    def weighted(self, a: Tensor) -> Tensor:
        """(2, N) -> (2, N, d): sum over j of E_ij (a_i + a_j) z_j."""
        result = a.new_zeros(*a.shape, self.z[0].shape[1])
        for i, j, e in self:
            e *= torch.add(a[i][:, None], a[j], out=self.memory[1, : e.numel()].view_as(e))
            result[i].addmm_(e, self._rows(j))
            if i != j:
                result[j].addmm_(e.T, self._rows(i))
        return result if self.ranks is None else self.ranks.total(result)

    def __iter__(self) -> Iterator[tuple[_Block, _Block, Tensor]]:
        """Rows, columns and values of this process's share of the tiles, each valid until the next."""
        pairs = combinations_with_replacement(self.blocks, 2)
        first, step = (0, 1) if self.ranks is None else (self.ranks.rank(), self.ranks.world())
        for i, j in islice(pairs, first, None, step):
            rows, columns = self._rows(i), self._rows(j).T
            e = self.memory[0, : len(rows) * columns.shape[1]].view(len(rows), -1)
            torch.addmm(e, rows, columns, beta=0, alpha=self.sharpness, out=e).exp2_()
            if i[1] == j[1]:
                e.fill_diagonal_(0)  # oneself, or the other of the pair
            yield i, j, e

    def _rows(self, block: _Block) -> Tensor:
        view, rows = block
        return self.z[view][rows]
