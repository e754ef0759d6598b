"""Hydra configuration groups; imports nothing of ours."""
