"""A classifier that has seen generated images only, measured on real ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.topics.classification.networks import CNN


def samples_only_accuracy(
    pixels: Tensor,
    labels: Tensor,
    real_pixels: Tensor,
    real_labels: Tensor,
    seed: int = 0,
    epochs: int = 10,
    batch_size: int = 128,
) -> float:
    """Accuracy on real images of a small CNN trained on samples and the labels they were asked to have.

    (Classification accuracy score; Ravuri & Vinyals, 2019, arXiv 1905.10887.) Samples that look right but are all alike
    do badly. Pixels from 0 to 1, `[n, channels, height, width]`; labels `[n]`.
    """
    with torch.random.fork_rng(devices=[pixels.device] if pixels.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        classes = int(max(labels.max(), real_labels.max())) + 1
        network = CNN(pixels.shape[1], pixels.shape[2:], classes, channels=(24, 48, 96)).to(pixels.device)
        mean, std = pixels.mean(), pixels.std().clamp(min=1e-6)
        _train(network, (pixels.detach() - mean) / std, labels, epochs, batch_size)
    with torch.no_grad():
        parts = [network((part - mean) / std).argmax(1) for part in real_pixels.split(500)]
    return float((torch.cat(parts) == real_labels).double().mean())


def _train(network: CNN, inputs: Tensor, labels: Tensor, epochs: int, batch_size: int) -> None:
    """AdamW under one cycle, as the recipe classification/mnist5k; the network ends in evaluation mode."""
    batches = -(-len(inputs) // batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.05, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, epochs * batches, pct_start=0.2)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs), device=inputs.device).chunk(batches):
            loss = functional.cross_entropy(network(inputs[rows]), labels[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
