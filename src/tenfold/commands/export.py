"""tenfold export: a run's network for use without Tenfold."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.errors import UserError, nearest

HELP = """tenfold export run=ADDRESS [key=value ...]: write a run's network, its preprocessing said in the metadata.

  tenfold export run=latest                                  ONNX, checked against torch in onnxruntime
  tenfold export run=latest format=torch                     torch.export (.pt2)
  tenfold export run=best:val/accuracy output=net.onnx       to a file of your choice

ONNX needs the extra tenfold[export]."""

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}


def run(config: DictConfig) -> int:
    from tenfold.engine.export import export_onnx, export_torch
    from tenfold.engine.restore import restore

    values = to_plain(config)
    if values["format"] not in SUFFIXES:
        found = values["format"]
        raise UserError(f"format: found {found!r}, expected onnx or torch{nearest(str(found), SUFFIXES)}")
    folder, module = restore(values["run"], values["outputs"], values["checkpoint"])
    path = Path(values["output"] or folder / f"network{SUFFIXES[values['format']]}")
    if not path.parent.is_dir():
        raise UserError(f"output: there is no folder {path.parent}")
    try:
        difference = (export_onnx if values["format"] == "onnx" else export_torch)(module, path)
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror})") from error
    print(f"{path}  (largest difference from torch: {difference:.1e})")
    return 0
