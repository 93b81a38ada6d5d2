"""Transformers: an encoder and decoder that translates, and a decoder that continues text."""
