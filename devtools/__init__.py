"""What `dev.py` stands on: the virtual environment, ComfyUI found or brought, its graph executor run headless."""
