import contextlib
import io
import re
import time
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from tenfold.callbacks import progress
from tenfold.callbacks.progress import Progress


class Screen(io.StringIO):
    """Standard error, as a terminal or as a file."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Toy(L.LightningModule):
    metrics = {"accuracy": "max", "loss": "min"}

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.journal = SimpleNamespace(latest={})
        self.pause = pause
        self.fails_at: int | None = None

    def training_step(self, batch, batch_idx):
        if self.global_step == self.fails_at:
            raise RuntimeError("broken batch")
        self.journal.latest = {"train/loss": 0.5 + self.global_step, "train/samples_per_second": 12345.6}
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        time.sleep(self.pause)
        self.log("val/accuracy", 0.875)

    def test_step(self, batch, batch_idx):
        time.sleep(self.pause)
        if batch_idx == self.fails_at:
            raise RuntimeError("broken batch")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.zeros(6, 1))


@pytest.fixture
def loader() -> DataLoader:
    return DataLoader(torch.zeros(6, 1), batch_size=2)


@pytest.fixture
def watch(monkeypatch, tmp_path):
    """Runs a trainer's verb in front of a screen and gives what is then on it."""

    def run(verb: str, module: Toy, *loaders, terminal: bool = True, raises=None, **arguments) -> str:
        screen = Screen(terminal)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = L.Trainer(default_root_dir=tmp_path, callbacks=[Progress()], accelerator="cpu", **quiet, **arguments)
        monkeypatch.setattr("sys.stderr", screen)
        with pytest.raises(raises) if raises else contextlib.nullcontext():
            getattr(trainer, verb)(module, *loaders)
        return screen.getvalue()

    return run


def bars(written: str) -> list[str]:
    """The states that a terminal showed one after another, on whichever line."""
    return [line.strip() for line in re.split(r"[\r\n]|\x1b\[A", written) if line.strip()]


def test_the_bar_shows_epoch_loss_metric_and_speed(watch, loader):
    shown = bars(watch("fit", Toy(), loader, loader, max_epochs=2))
    assert shown[0].startswith("epoch 1/2    0% |")
    assert re.fullmatch(
        r"epoch 2/2  100% \|█{20}\| 3/3 \[00:00<00:00\], loss 5\.5000, val/accuracy 0\.8750, 12,346 samples/s",
        shown[-1],
    )


def test_only_the_last_epoch_stays_on_a_terminal(watch, loader):
    written = watch("fit", Toy(), loader, max_epochs=5)
    assert written.count("\n") == 1
    assert written.endswith("\n")


def test_lightning_adds_no_bar_of_its_own():
    trainer = L.Trainer(callbacks=[Progress()], logger=False, enable_checkpointing=False)
    assert isinstance(trainer.progress_bar_callback, Progress)


def test_redraws_follow_the_clock_and_not_the_steps(watch, monkeypatch):
    many = DataLoader(torch.zeros(300, 1), batch_size=1)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 3600)
    written = watch("fit", Toy(), many, max_epochs=1)
    assert sorted(set(re.findall(r"\d+/300", written))) == ["0/300", "300/300"]
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0)
    written = watch("fit", Toy(), many, max_epochs=1)
    assert len(set(re.findall(r"\d+/300", written))) == 301


def test_short_epochs_are_drawn_by_the_clock_too(watch, loader, monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 3600)
    written = watch("fit", Toy(), loader, max_epochs=40)
    assert sorted(set(re.findall(r"epoch \d+", written))) == ["epoch 1", "epoch 40"]


def test_a_stream_of_unknown_length_counts_steps(watch):
    shown = bars(watch("fit", Toy(), DataLoader(Stream(), batch_size=2), max_epochs=1))
    assert shown[-1].startswith("epoch 1/1  3 steps [00:00], loss 2.5000")


def test_epochs_without_end_show_no_total(watch, loader):
    shown = bars(watch("fit", Toy(), loader, max_epochs=-1, max_steps=4))
    assert shown[-1].startswith("epoch 2  100%")  # of the one step that is left


def test_a_file_gets_one_plain_line_for_an_epoch(watch, loader, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0)
    lines = watch("fit", Toy(), loader, loader, terminal=False, max_epochs=3).splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        r"epoch 3/3, \d+\.\d s, loss 8\.5000, val/accuracy 0\.8750, 12,346 samples/s", lines[-1].strip()
    )


def test_short_epochs_share_a_line_in_a_file(watch, loader, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 3600)
    lines = watch("fit", Toy(), loader, terminal=False, max_epochs=50).splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1/50", "epoch 50/50"]


@pytest.mark.parametrize("verb, name", [("validate", "validation"), ("test", "test")])
def test_a_long_pass_shows_itself_and_goes_away(watch, loader, monkeypatch, verb, name):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0)
    written = watch(verb, Toy(pause=0.06), loader)
    assert bars(written)[-1].startswith(f"{name}  100% |")
    assert "\n" not in written
    assert re.search(r"\r +\r$", written)


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_a_short_pass_shows_nothing(watch, loader, monkeypatch, verb):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 60)
    assert watch(verb, Toy(), loader) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_starts_on_a_line_of_its_own(watch, loader, terminal, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 3600)
    module = Toy()
    module.fails_at = 7
    written = watch("fit", module, loader, terminal=terminal, raises=RuntimeError, max_epochs=5)
    assert written.endswith("\n")
    assert bars(written)[-1].startswith("epoch 3/5  " if terminal else "epoch 2/5, ")


def test_an_error_in_a_test_run_is_not_hidden_by_another(watch, loader):
    module = Toy()
    module.fails_at = 1
    del module.journal  # as before any fit
    assert watch("test", module, loader, raises=RuntimeError) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_other_ranks_show_nothing(watch, loader, monkeypatch, terminal):
    monkeypatch.setattr(L.Trainer, "is_global_zero", False)
    assert watch("fit", Toy(), loader, loader, terminal=terminal, max_epochs=2) == ""
