"""Watching a policy: recordings, frames and animations, a 3-D page, evaluations in many directions, and figures."""
