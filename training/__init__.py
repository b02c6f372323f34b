"""A training run: its arguments, folder, clock, curve and signals, its display, and the fast updates."""
