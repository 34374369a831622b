"""What the benchmarks share: starting ComfyUI, printing tables, measuring time and memory, models and rivals."""
