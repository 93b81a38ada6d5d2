"""What the Transformers show: where they look, and what they write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.callbacks.figures import new_figure, printable
from tenfold.topics.transformer.attention import Attention
from tenfold.topics.transformer.spec import END_IDX, UNITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tenfold.topics.transformer.language_model import LanguageModel
    from tenfold.topics.transformer.translation import Example, Translator


@contextmanager
def watched(attentions: Sequence[Attention]) -> Iterator[list[Tensor]]:
    """While open, the maps `[batch, heads, time, keys]` of each attention's calls are put into the list, in order."""
    maps: list[Tensor] = []

    def look(attention: Attention, arguments: tuple[Any, ...]) -> None:
        maps.append(attention.probabilities(*arguments).float().cpu())

    hooks = [attention.register_forward_pre_hook(look) for attention in attentions]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def cross_attention(module: Translator, source: str) -> Figure:
    """The source's tokens that each token of the translation was made from: the mean over the heads, a layer a
    picture."""
    network, spec = module.network, module.spec
    tokens = torch.tensor([spec.encode_source(source)], device=module.device)
    with torch.no_grad():
        output = module.translate(tokens).tokens
        start = module.start(tokens)
        with watched(network.decoder.cross_attentions()) as maps:
            network(tokens, torch.cat([start, output[:, :-1]], 1))
    columns = [*UNITS[spec.unit][0](source), "end"]
    rows = [spec.target_tokens[index] if index != END_IDX else "end" for index in output[0].tolist()]
    return _maps([found[0].mean(0) for found in maps], [f"layer {i + 1}" for i in range(len(maps))], rows, columns)


def self_attention(module: LanguageModel, tokens: Tensor) -> Figure:
    """What each character of an excerpt looks back to in the last layer, a head a picture."""
    attention = module.network.stack.attentions()[-1]
    with torch.no_grad(), watched([attention]) as maps:
        module.network(tokens.unsqueeze(0))
    characters = list(module.spec.decode(tokens.unsqueeze(0))[0])
    titles = [f"head {i + 1}" for i in range(attention.num_heads)][:4]
    return _maps(list(maps[0][0])[:4], titles, characters, characters)


def _maps(maps: Sequence[Tensor], titles: Sequence[str], rows: Sequence[str], columns: Sequence[str]) -> Figure:
    width, height = 0.17 * len(columns) + 0.6, 0.17 * len(rows) + 0.7
    with new_figure(max(3.0, len(maps) * width), max(1.6, height)) as figure:
        for number, (found, title) in enumerate(zip(maps, titles, strict=True)):
            axes = figure.add_subplot(1, len(maps), number + 1)
            axes.imshow(found.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.set_title(title)
            _label(axes, rows, columns)
        figure.tight_layout()
    return figure


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.grid(False)
    axes.set_xticks(range(len(columns)), _names(columns), fontsize=7)
    axes.set_yticks(range(len(rows)), _names(rows), fontsize=7)
    axes.tick_params(length=0)


def _names(tokens: Sequence[str]) -> list[str]:
    shown = [{" ": "␣", "\n": "↵"}.get(token, token) for token in tokens]
    return [name if not name.startswith("class ") else "?" for name in printable(shown, 8)]


def translations(examples: Sequence[Example]) -> str:
    """Sources, targets and translations, in markdown."""
    rows = [["source", "target", "translation", ""], ["---"] * 4]
    rows += [[*map(_cell, row), "" if row.output == row.target else "✗"] for row in examples]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def continuations(prompt: str, texts: Sequence[str]) -> str:
    """A prompt from the split, and several ways in which the model goes on, in markdown."""
    parts = ["after", _block(prompt)]
    for number, text in enumerate(texts, 1):
        parts += [f"continuation {number}", _block(text)]
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    """As it stands: every line indented, which no character of the text can end."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
