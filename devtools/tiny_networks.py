"""Networks of ComfyUI's own classes with seeded weights, for the tests and the benchmarks."""

import comfy.model_base
import comfy.model_patcher
import torch


def patcher(model: comfy.model_base.BaseModel) -> comfy.model_patcher.ModelPatcher:
    """A MODEL with seeded weights; ComfyUI's layers leave theirs uninitialized."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.diffusion_model.named_parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)
