"""What ComfyUI's page gets about the nodes beyond their schemas: search words, and inputs that are folded away.

Both are words of newer schemas. They stand here only, and are added to the node's description, so that they work in
every version: the page has long known them.
"""

from typing import Any

from comfy_api.latest import io

# What people type who look for what a node does, by node id.
SEARCH_ALIASES = {
    "PhDLoadSegmenter": ["u2net", "grabcut", "sam", "segment anything", "deeplab", "remove background", "matting"],
    "PhDSegment": [
        "cut out", "cutout", "remove background", "matting", "grabcut", "sam", "segment anything", "mask",
        "segmentation",
    ],
    "PhDPasteBlend": [
        "paste subject", "insert object", "composite", "collage", "shadow", "poisson", "seamless", "blend",
        "place object",
    ],
    "PhDCrop": ["crop and stitch", "inpaint crop", "inpaint", "outpaint", "pad image", "crop by mask"],
    "PhDMaskedInpaintSampler": ["inpaint", "langevin", "lanpaint", "repaint", "differential", "outpaint"],
    "PhDHarmonizeSampler": ["harmonize", "harmonise", "relight", "blend in", "match light"],
    "PhDMaskedLangevin": ["inpaint", "langevin", "lanpaint", "repaint", "differential"],
    "PhDIdentityAnchor": ["ilvr", "detail", "relight", "keep subject"],
    "PhDStitch": ["uncrop", "crop and stitch", "relight", "seamless", "before after", "detail transfer"],
    "PhDLoadDemoModel": ["tiny model", "example model"],
    "PhDLoadDemoImages": ["example images", "sample images"],
    "PhDInsertSubject": [
        "paste subject", "insert object", "composite", "relight", "harmonise", "uncrop", "crop and stitch", "shadow",
    ],
    "PhDLoadModule": ["controlnet", "load module", "harmonize"],
    "PhDApplyModule": ["controlnet", "apply module", "harmonize", "relight", "shadow"],
    "PhDModelSettings": ["cfg", "scheduler", "recommended settings", "auto settings"],
    "PhDMask": [
        "grow mask", "expand mask", "shrink mask", "feather mask", "blur mask", "fill holes", "invert mask", "mask",
        "remove small regions", "dilate", "erode",
    ],
}  # fmt: skip

# Inputs that few people need, by node id: the page shows these widgets on request. A widget that has a link is always
# shown. What another widget makes useless is no matter of this list; the page hides it (web/js/rows.mjs).
ADVANCED_INPUTS = {
    "PhDSegment": ["box", "positive_points", "negative_points", "candidate"],
    "PhDPasteBlend": [
        "feather", "shadow", "blend", "color_match", "min_visible", "paste_into_one",
        "earlier_subjects", "earlier_inpaint", "placements", "keyframes", "track",
    ],
    "PhDCrop": [
        "multiple", "size_mode", "width", "height", "resampler",
        "extend_left", "extend_top", "extend_right", "extend_bottom", "window_per_frame",
        "composite", "inpaint_mask", "harmonize_mask", "reference", "subject_matte", "context_mask",
    ],
    "PhDMaskedInpaintSampler": ["sampler_name", "scheduler", "method", "step_size", "lambda_strength"],
    "PhDHarmonizeSampler": [
        "sampler_name", "scheduler", "method", "step_size", "lambda_strength", "anchor", "subject_only", "num_seeds",
        "reference_latent", "subject_matte", "original_latent",
    ],
    "PhDMaskedLangevin": ["step_size", "lambda_strength"],
    "PhDStitch": [
        "luma_only", "color_fix", "num_seeds", "relight_strength", "keep_changes", "subject_pixels",
        "background", "composite", "harmonize_mask", "subject_matte", "sampled_reference", "changed",
    ],
    "PhDInsertSubject": ["placement", "rotation", "flip", "keyframes", "cfg"],
    "PhDApplyModule": ["subject_matte", "mask", "reference_latent"],
}  # fmt: skip


def with_node_info(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """Adds SEARCH_ALIASES and ADVANCED_INPUTS to a node's description for the page."""
    describe = node.GET_NODE_INFO_V1
    node_id = node.GET_SCHEMA().node_id

    def described() -> dict[str, Any]:
        info = describe()
        info["search_aliases"] = SEARCH_ALIASES.get(node_id, [])
        for inputs in info["input"].values():
            for name in set(ADVANCED_INPUTS.get(node_id, [])) & set(inputs):
                kind, *options = inputs[name]
                inputs[name] = (kind, {**(options[0] if options else {}), "advanced": True})
        return info

    node.GET_NODE_INFO_V1 = staticmethod(described)
    return node
