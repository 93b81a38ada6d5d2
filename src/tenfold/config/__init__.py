"""Composing, checking and instantiating configurations."""
