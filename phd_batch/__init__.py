"""Tables of jobs: one workflow, a row an edit, on this machine, on ComfyUI servers or on a Ray cluster.

`python3 dev.py batch JOBS --workflow api.json --out FOLDER`, or `python -m phd_batch` in the pack's folder.
"""
