"""The craft of PhD: paste, inpaint, harmonize. Plain torch, numpy and OpenCV; knows nothing of ComfyUI."""
