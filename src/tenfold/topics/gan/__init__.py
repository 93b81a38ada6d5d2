"""Generative adversarial networks: a generator of samples against a discriminator that tells them from real ones."""
