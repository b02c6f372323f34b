"""Environments: PyBullet kept quiet, batched calls into it, many environments in a few processes, and the registered ids."""
