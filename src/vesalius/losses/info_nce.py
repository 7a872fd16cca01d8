"""InfoNCE against a bank of negatives: van den Oord et al. 2018 (arXiv 1807.03748), He et al. 2020 (MoCo).

L_i = -log[ e^{q_i k_i / tau} / (e^{q_i k_i / tau} + sum over kept j of e^{q_i p_j / tau}) ]
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vesalius.errors import SettingError
from vesalius.losses.pruner import cosines

LEAST_TAU = 0.025  # e^{1 / tau} times the bank's size stays far inside fp32's range, and e^{-1 / tau} a normal number


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
