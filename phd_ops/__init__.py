"""Paste, inpaint, harmonize: the image and latent operations in plain torch, NumPy and OpenCV, without ComfyUI."""
