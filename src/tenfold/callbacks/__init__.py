"""Callbacks: progress, pictures, records."""
