"""The craft of PhD: paste, inpaint, harmonise. Plain torch, numpy and OpenCV; knows nothing of ComfyUI."""
