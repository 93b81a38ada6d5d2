"""Writes a module's pictures to the run folder and to TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from tenfold.callbacks.figures import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenfold.engine.module import Stage

#: What a module draws: a figure, or a page of markdown where the picture would be of text.
Picture: TypeAlias = Union["Figure", str]


class Pictures(L.Callback):
    """Saves what `module.pictures(stage)` draws under `<run folder>/plots`, and shows it in TensorBoard by its tag.

    It draws after a test, and while training at the validation of every `every_n_epochs`-th epoch; 0 for never. Only
    rank 0 draws.
    """

    def __init__(self, every_n_epochs: int = 0) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not self.every_n_epochs:
            return
        if (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module, "val")

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: L.Trainer, module: Any, stage: Stage) -> None:
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "plots"
        folder.mkdir(parents=True, exist_ok=True)
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        for tag, picture in module.pictures(stage).items():
            _write(picture, tag, folder, boards, trainer.global_step)


def _write(picture: Picture, tag: str, folder: Path, boards: list[Any], step: int) -> None:
    from PIL import Image

    name = tag.replace("/", "_")
    if isinstance(picture, str):
        (folder / f"{name}.md").write_text(picture, encoding="utf-8")
        for board in boards:
            board.add_text(tag, picture, step)
        return
    pixels = render(picture)
    Image.fromarray(pixels).save(folder / f"{name}.png")
    for board in boards:  # not add_figure, which draws a second time and imports pyplot
        board.add_image(tag, pixels, step, dataformats="HWC")
