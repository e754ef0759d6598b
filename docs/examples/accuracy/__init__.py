"""A target with another metric: classification accuracy on held-out rows, computed where no candidate runs."""
