"""Adam's training step, ResNet-50 at 224 px: the product's settings against plain fp32. Last line: `step_resnet50_bf16 RATIO`.

Floor: 3, on a device that is fast at bf16.
"""

import step

if __name__ == "__main__":
    step.measure("resnet50", batch=8)
