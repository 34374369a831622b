"""The extension: the pack's list of nodes. Only this folder imports ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .crop import PhDCrop
from .demo_images import PhDLoadDemoImages
from .demo_model import PhDLoadDemoModel
from .harmonize_sampler import PhDHarmonizeSampler
from .identity_anchor import PhDIdentityAnchor
from .inpaint_sampler import PhDMaskedInpaintSampler
from .insert_subject import PhDInsertSubject
from .learned_module import PhDApplyModule, PhDLoadModule
from .load_segmenter import PhDLoadSegmenter
from .mask import PhDMask
from .masked_langevin import PhDMaskedLangevin
from .model_settings import PhDModelSettings
from .node_info import with_node_info
from .paste_blend import PhDPasteBlend
from .segment import PhDSegment
from .stitch import PhDStitch


class PhDExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        nodes = [
            PhDLoadSegmenter,
            PhDSegment,
            PhDPasteBlend,
            PhDCrop,
            PhDMaskedInpaintSampler,
            PhDHarmonizeSampler,
            PhDMaskedLangevin,
            PhDIdentityAnchor,
            PhDStitch,
            PhDLoadDemoModel,
            PhDLoadDemoImages,
            PhDInsertSubject,
            PhDLoadModule,
            PhDApplyModule,
            PhDMask,
            PhDModelSettings,
        ]
        return [with_node_info(node) for node in nodes]


async def comfy_entrypoint() -> ComfyExtension:
    return PhDExtension()
