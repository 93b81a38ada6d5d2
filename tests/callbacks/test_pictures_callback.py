from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from tenfold.callbacks.figures import new_figure
from tenfold.callbacks.pictures import Pictures


class Drawer(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.drawn: list[tuple[str, int]] = []

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        pass

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def pictures(self, stage: str) -> dict[str, Figure | str]:
        self.drawn.append((stage, self.current_epoch))
        with new_figure(2, 1) as figure:
            figure.add_subplot().plot([0, 1])
        return {f"{stage}/line": figure, f"{stage}/top5.0": "| 差评 |\n| --- |\n"}


@pytest.fixture
def loader() -> DataLoader:
    return DataLoader(torch.zeros(4, 1), batch_size=2)


def trainer(folder: Path, callback: Pictures, **arguments) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder,
        callbacks=[callback],
        logger=[TensorBoardLogger(folder, name="", version=""), CSVLogger(folder)],
        accelerator="cpu",
        max_epochs=4,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        **arguments,
    )


def test_a_test_leaves_files_and_dashboard_entries(tmp_path, loader):
    trainer(tmp_path, Pictures()).test(Drawer(), loader, verbose=False)
    png = tmp_path / "plots" / "test_line.png"
    assert sorted(path.name for path in png.parent.iterdir()) == ["test_line.png", "test_top5.0.md"]
    assert (png.parent / "test_top5.0.md").read_text(encoding="utf-8").startswith("| 差评 |")
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert board.Tags()["images"] == ["test/line"]
    assert "test/top5.0/text_summary" in board.Tags()["tensors"]
    shown = board.Images("test/line")[0]
    assert (shown.width, shown.height) == Image.open(png).size == (240, 120)
    assert np.asarray(Image.open(png)).std() > 5


@pytest.mark.parametrize("every, epochs", [(0, []), (1, [0, 1, 2, 3]), (3, [2])])
def test_draws_while_training_only_when_asked(tmp_path, loader, every, epochs):
    module = Drawer()
    trainer(tmp_path, Pictures(every), num_sanity_val_steps=2).fit(module, loader, loader)
    assert module.drawn == [("val", epoch) for epoch in epochs]
    assert (tmp_path / "plots").exists() == bool(epochs)


def test_steps_tell_the_pictures_of_a_training_run_apart(tmp_path, loader):
    trainer(tmp_path, Pictures(2)).fit(Drawer(), loader, loader)
    board = EventAccumulator(str(tmp_path))
    board.Reload()
    assert [shown.step for shown in board.Images("val/line")] == [4, 8]


def test_other_ranks_draw_nothing(tmp_path, loader, monkeypatch):
    module, run = Drawer(), trainer(tmp_path, Pictures())
    monkeypatch.setattr(L.Trainer, "is_global_zero", False)
    run.test(module, loader, verbose=False)
    assert module.drawn == []
