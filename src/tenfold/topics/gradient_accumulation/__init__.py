"""Gradient accumulation: what cutting a batch saves, what it costs, and when it changes the result."""
