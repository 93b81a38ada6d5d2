"""Networks as ONNX and torch.export programs, each compared with torch before it takes its name."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError

TOLERANCE = 1e-3  # of the largest output: float32 kernels differ in the order of their sums


def export_onnx(module: TenfoldModule, path: Path) -> float:
    """Write the module's network as ONNX with any batch size; the largest difference of onnxruntime's output from
    torch's.

    The preprocessing stands in the file's metadata. Raises `UserError` where the extra is missing or the outputs
    differ.
    """
    onnx, runtime = _needed("onnx"), _needed("onnxruntime")
    _needed("onnxscript")
    network, inputs = _network(module)
    temporary = path.with_suffix(".part.onnx")
    try:
        program = torch.onnx.export(
            network, inputs, dynamic_shapes=_free_dimensions(module), dynamo=True, verbose=False
        )
        assert program is not None
        program.save(str(temporary), external_data=False)
        model = onnx.load(str(temporary))
        onnx.helper.set_model_props(model, {"tenfold.recipe": module.config["recipe"], **module.preprocessing()})
        onnx.save(model, str(temporary))
        session = runtime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]

        def run(*arguments: Tensor) -> Tensor:
            feed = {name: argument.numpy() for name, argument in zip(names, arguments, strict=True)}
            return torch.from_numpy(session.run(None, feed)[0])

        difference = _compare(network, run, _examples(module, inputs))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def export_torch(module: TenfoldModule, path: Path) -> float:
    """Write the module's network as a torch.export program with any batch size; as `export_onnx`."""
    network, inputs = _network(module)
    warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)  # said of every CPU tensor
    program = torch.export.export(network, inputs, dynamic_shapes=_free_dimensions(module))
    difference = _compare(network, program.module(), _examples(module, inputs))
    temporary = path.with_suffix(".part.pt2")
    metadata = {"preprocessing.txt": "\n".join(f"{key}: {text}" for key, text in module.preprocessing().items())}
    try:
        torch.export.save(program, temporary, extra_files=metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return difference


def _network(module: TenfoldModule) -> tuple[nn.Module, tuple[Tensor, ...]]:
    return getattr(module, module.exported).cpu().eval(), module.example_inputs()


def _free_dimensions(module: TenfoldModule) -> tuple[dict[int, Any], ...]:
    """Of the batch any size from 1; of the others (time, ...) whatever sizes the network's own arithmetic allows."""
    batch, other = torch.export.Dim("batch", min=1), torch.export.Dim.DYNAMIC
    return tuple(
        {i: batch if name == "batch" else other for i, name in enumerate(names) if name}
        for names in module.free_dimensions()
    )


def _examples(module: TenfoldModule, inputs: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """The example, and one sample of it where each input has a batch dimension."""
    of_batches = all(names[:1] == ("batch",) for names in module.free_dimensions())
    return [inputs, tuple(value[:1] for value in inputs)] if of_batches else [inputs]


def _compare(network: nn.Module, exported: Callable[..., Tensor], examples: list[tuple[Tensor, ...]]) -> float:
    """The largest difference relative to the largest output."""
    worst = 0.0
    for arguments in examples:
        with torch.no_grad():
            expected = network(*arguments)
            found = exported(*arguments)
        worst = max(worst, float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6)))
    if not worst <= TOLERANCE:
        raise UserError(
            f"export: the exported network differs from torch by {worst:.1e}, expected at most {TOLERANCE:.0e}"
        )
    return worst


def _needed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"export: needs the package {package!r}; install it with pip install 'tenfold[export]'"
        ) from error
