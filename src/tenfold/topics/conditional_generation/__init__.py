"""Samples of an asked-for class: images by a variational autoencoder or a flow, texts token by token."""
