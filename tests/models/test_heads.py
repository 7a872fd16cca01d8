import torch

from vesalius.models.heads import projection
from vesalius.models.resnet import resnet


def test_the_query_tower_has_the_papers_number_of_parameters():
    tower = [resnet(50), projection(2048, 2048, 128)]
    assert sum(p.numel() for part in tower for p in part.parameters()) == 27_966_656  # methods, Adam step 4


def test_it_is_two_linear_maps_with_a_relu_between():
    head, x = projection(5, 7, 3), torch.randn(4, 5)
    a, b, c, d = head.parameters()
    torch.testing.assert_close(head(x), (x @ a.T + b).clamp(min=0) @ c.T + d)


def test_with_norm_every_dimension_of_a_batch_is_standardised():
    z = projection(5, 7, 3, norm=True)(torch.randn(64, 5))
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(0, unbiased=False), torch.ones(3), atol=1e-2, rtol=0)
