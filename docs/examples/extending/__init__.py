"""A strategy, an operator and a target outside of Graft; docs/extending.md explains them."""
