import torch
from torch.nn import functional

from vesalius.losses.cross_entropy import binary, exclusive

NAN = float("nan")


def test_binary_is_the_mean_over_labels_that_are_known():
    logits = torch.randn(5, 3, dtype=torch.float64).float()
    labels = torch.tensor([[1, 0, NAN], [NAN, NAN, NAN], [0, 1, 1], [1, NAN, 0], [0, 0, 0]])
    each = [
        -torch.sigmoid(x if y else -x).log()
        for x, y in zip(logits.flatten(), labels.flatten(), strict=True)
        if not y.isnan()
    ]
    torch.testing.assert_close(binary(logits, labels), sum(each) / len(each))


def test_exclusive_is_cross_entropy_over_samples_that_are_known():
    logits, index = torch.randn(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    labels = functional.one_hot(index, 4).float()
    labels[2] = NAN
    keep = [0, 1, 3, 4, 5]
    torch.testing.assert_close(exclusive(logits, labels), functional.cross_entropy(logits[keep], index[keep]))


def test_labels_that_are_unknown_give_no_gradient():
    for loss in (binary, exclusive):
        logits = torch.randn(3, 2, requires_grad=True)
        labels = torch.tensor([[1, 0], [NAN, NAN], [0, 1]])
        loss(logits, labels).backward()
        assert (logits.grad[1] == 0).all()
        assert (logits.grad[[0, 2]] != 0).all()
        assert loss(logits, torch.full((3, 2), NAN)) == 0
