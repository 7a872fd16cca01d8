import pytest
import torch

from vesalius.chance import generator
from vesalius.errors import SettingError
from vesalius.models.memory_bank import MemoryBank, check


def bank(size=12, ndim=2):
    return MemoryBank(size, 5, generator(0), ndim)


def batch(step, n=4, ndim=2):
    """Keys, images and boxes that all tell which sample they are."""
    number = torch.arange(step * n, (step + 1) * n)
    return torch.nn.functional.one_hot(number % 5, 5).float(), number, number[:, None].expand(-1, 2 * ndim).int()


def test_starts_as_unit_vectors_from_its_generator_and_nowhere():
    one, two = bank(64), bank(64)
    torch.testing.assert_close(one.keys.norm(dim=1), torch.ones(64))
    assert torch.equal(one.keys, two.keys)
    assert not torch.equal(one.keys, MemoryBank(64, 5, generator(1)).keys)
    assert (one.image == -1).all()
    assert (one.box == -1).all()


@pytest.mark.parametrize("t", [1, 2, 3, 5, 7])
def test_holds_the_last_keys_in_order(t):
    """Oracle 5: after t pushes of B it holds the last tB keys in order, and the pointer is at tB mod K."""
    b = bank()
    for step in range(t):
        b.push(*batch(step))
    assert int(b.pointer) == 4 * t % 12
    assert int(b.filled) == min(4 * t, 12)
    oldest_first = b.image.roll(-int(b.pointer))[12 - int(b.filled) :]
    assert oldest_first.tolist() == list(range(4 * t))[-12:]


def test_a_key_keeps_its_image_and_its_box():
    b = bank(ndim=3)
    for step in range(5):
        b.push(*batch(step, ndim=3))
    assert torch.equal(b.keys.argmax(1), b.image % 5)
    assert torch.equal(b.box, b.image[:, None].expand(-1, 6).int())


def test_what_was_not_replaced_is_untouched():
    b = bank()
    before = b.keys.clone()
    b.push(*batch(0))
    assert torch.equal(b.keys[4:], before[4:])
    assert (b.box[4:] == -1).all()


def test_keys_carry_no_gradient_in():
    b, (keys, image, box) = bank(), batch(0)
    b.push(keys.requires_grad_(), image, box)
    assert not b.keys.requires_grad
    assert not list(b.parameters())


def test_a_state_dict_continues_the_same_bank():
    one, two = bank(), MemoryBank(12, 5, generator(9))
    one.push(*batch(0))
    two.load_state_dict(one.state_dict())
    for b in (one, two):
        b.push(*batch(1))
    assert all(torch.equal(a, c) for a, c in zip(one.buffers(), two.buffers(), strict=True))


@pytest.mark.parametrize(("size", "n"), [(12, 5), (4, 8), (12, 0)])
def test_a_bank_of_broken_batches_is_refused(size, n):
    with pytest.raises(SettingError, match="whole number of batches"):
        check(size, n)


def test_a_push_that_does_not_fit_changes_nothing():
    b = bank()
    before = [x.clone() for x in b.buffers()]
    with pytest.raises(SettingError):
        b.push(*batch(0, n=5))
    assert all(torch.equal(a, c) for a, c in zip(b.buffers(), before, strict=True))
