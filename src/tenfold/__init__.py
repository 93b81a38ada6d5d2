"""Tenfold: ten deep-learning topics on Lightning and Hydra, ready to run, to override, to sweep and to scale."""

__version__ = "0.1.0"
