"""Sequence labelling: a tag for each element of a sequence, and the spans that tags mark."""
