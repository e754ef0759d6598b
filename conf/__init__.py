"""Hydra configuration groups; imports no other package of Graft."""
