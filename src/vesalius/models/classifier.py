"""A linear head on the pooled features of any backbone."""

from torch import Tensor, nn

from vesalius.models.backbone import Backbone, pool


class Classifier(nn.Module):
    """Backbone, mean over the coarsest level, one Linear: (B, C, *S) in 0..1 -> logits (B, K)."""

    def __init__(self, backbone: nn.Module, outputs: int) -> None:
        """outputs: K classes."""
        super().__init__()
        assert isinstance(backbone, Backbone)
        self.backbone, self.head = backbone, nn.Linear(backbone.channels[-1], outputs)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, *S) in 0..1 -> (B, K)."""
        logits: Tensor = self.head(pool(self.backbone(images)))
        return logits
