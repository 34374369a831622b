"""What `dev.py` needs: the virtual environment, a ComfyUI found or downloaded, its graph executor run headless."""
