"""PhD: Paste, Inpaint and Harmonize via Denoising, as ComfyUI nodes."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
