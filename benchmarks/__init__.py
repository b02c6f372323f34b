"""Measurements: ours next to other libraries, and the experiments behind the recipe."""
