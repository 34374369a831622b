"""PhD: Paste, Inpaint and Harmonize via Denoising, as ComfyUI nodes."""

import sys

WEB_DIRECTORY = "./web"
__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


def opencv_problem() -> str | None:
    """Why OpenCV cannot be imported and how to repair it, in one sentence; None where it can.

    ComfyUI does not bring OpenCV. Four packages provide its module `cv2`: opencv-python, opencv-contrib-python, and
    both as -headless. Any will do. They all write the same folder, so that removing one breaks the others.
    """
    pip = f'"{sys.executable}" -m pip install'
    try:
        import cv2

        if hasattr(cv2, "__version__"):
            return None
        reason = "the folder cv2 is incomplete"
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            return f"The PhD nodes need OpenCV, which is not installed; install it with {pip} opencv-python"
        reason = str(error)
    except ImportError as error:
        reason = " ".join(str(error).split())
    repair = f"{pip} --force-reinstall --no-deps opencv-python-headless"
    return f"The PhD nodes need OpenCV, which is installed but does not load ({reason}); repair it with {repair}"


if _problem := opencv_problem():
    # Raised in the entry point and not here: ComfyUI then logs the sentence alone instead of a traceback, and lists
    # the pack as failed.
    async def comfy_entrypoint():
        raise ImportError(_problem)

else:
    from .nodes import comfy_entrypoint
