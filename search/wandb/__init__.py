"""Weights & Biases as a mirror of a search: what is sent, and the thread that sends it; needs the extra `wandb`."""
