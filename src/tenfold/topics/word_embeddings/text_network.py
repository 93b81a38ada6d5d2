"""FastText's supervised network: the mean of a text's rows, then a softmax over the classes, flat or along a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import UserError, check_number, nearest
from tenfold.topics.word_embeddings.hierarchical import huffman_paths


class FastTextClassifier(nn.Module):
    r"""Joulin et al. 2016 (arXiv 1607.01759): :math:`p(c \mid x) = \mathrm{softmax}(U h)_c` of the mean of a text's
    rows, :math:`h = \frac{1}{|x|} \sum_{r \in x} z_r`.

    With `objective: hierarchical` the classes are leaves of a Huffman tree of their counts, and

    .. math:: p(c \mid x) = \prod_{n \in \mathrm{path}(c)} \sigma(s_{c,n} \, u_n \cdot h):

    training sees the inner nodes of one path a text, not all classes. Either way `forward` gives logits whose softmax
    is p, [batch, classes].

    num_rows: rows of the table, that of padding first; class_counts: texts of each class in training.
    """

    nodes: Tensor
    signs: Tensor

    def __init__(
        self,
        num_rows: int,
        class_counts: Sequence[int],
        channels: int = 10,
        objective: Literal["softmax", "hierarchical"] = "softmax",
    ) -> None:
        super().__init__()
        check_number("model.network.channels", channels, 1)
        if objective not in ("softmax", "hierarchical"):
            close = nearest(str(objective), ["softmax", "hierarchical"])
            raise UserError(f"model.network.objective: found {objective!r}, expected softmax or hierarchical{close}")
        self.hierarchical = objective == "hierarchical"
        self.embedding = nn.Embedding(num_rows, channels, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.uniform_(-1 / channels, 1 / channels)[:2] = 0  # padding, and a text of nothing
        self.outputs = nn.Parameter(torch.zeros(len(class_counts), channels))  # of classes, or of a tree's inner nodes
        nodes, signs = huffman_paths(torch.tensor(class_counts)) if self.hierarchical else torch.zeros(2, 0)
        self.register_buffer("nodes", nodes, persistent=False)
        self.register_buffer("signs", signs, persistent=False)

    def hidden(self, texts: Tensor) -> Tensor:
        """The mean of each text's rows [batch, channels], of rows [batch, entries] filled up with 0."""
        if torch.compiler.is_exporting():
            embedded = self.embedding(texts)
            inside = (texts != 0).unsqueeze(2).to(embedded.dtype)
            return (embedded * inside).sum(1) / inside.sum(1).clamp(min=1)
        return F.embedding_bag(texts, self.embedding.weight, mode="mean", padding_idx=0)

    def forward(self, texts: Tensor) -> Tensor:
        scores = self.hidden(texts) @ self.outputs.T
        if not self.hierarchical:
            return scores
        steps = F.logsigmoid(scores[:, self.nodes] * self.signs.to(scores.dtype))
        return (steps * self.signs.abs()).sum(2)

    def path_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """-log p of each text's own class [batch], by its path alone."""
        signs = self.signs[labels].to(hidden.dtype)
        scores = (self.outputs[self.nodes[labels]] @ hidden.unsqueeze(2)).squeeze(2)
        return -(F.logsigmoid(signs * scores) * signs.abs()).sum(1)

    @torch.no_grad()
    def add_(self, texts: Tensor, change: Tensor) -> None:
        """Add to every row of a text `change` [batch, channels] over the number of its rows."""
        inside = texts != 0
        share = change / inside.sum(1, keepdim=True).clamp(min=1)
        owner = torch.repeat_interleave(inside.sum(1))
        self.embedding.weight.index_add_(0, texts[inside], share[owner])
