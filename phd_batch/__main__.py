"""`python -m phd_batch`: the same as `python3 dev.py batch`, with the Python that runs ComfyUI."""

import sys

from phd_batch.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
