"""A strategy, an operator, an acceptance rule, a target and a tracker of one's own: docs/extending.md explains them."""
