"""Blocks that two topics or more use."""
