"""Adam's training step, ResNet-18 at 224 px: the product's settings against plain fp32. Last line: `step_resnet18_bf16 RATIO`.

Floor: 2, on a device that is fast at bf16. Also: the loss curve on the phantom with bf16 against fp32.
"""

import step

if __name__ == "__main__":
    step.compare_curves()
    step.measure("resnet18", batch=16)
