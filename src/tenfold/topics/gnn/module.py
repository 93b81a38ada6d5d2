"""Classes of the nodes of one graph, and numbers of many graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from tenfold.data.graphs.nodes import NodeBatch, Nodes
from tenfold.data.graphs.small import GraphBatch
from tenfold.data.graphs.spec import GraphSpec
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.topics.classification.module import Classifier

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class NodeClassifier(Classifier):
    """The cross-entropy of the batch's nodes, with the whole graph in sight; all else is a classifier's.

    network: features `[nodes, in_features]` and edges to logits `[nodes, num_classes]`.
    """

    dashboard: ClassVar[tuple[str, ...]] = (*Classifier.dashboard, "test/graph")  # type: ignore[assignment]

    def logits(self, batch: NodeBatch) -> Tensor:
        graph = batch.graph.to(self.device, self.dtype)  # type: ignore[arg-type]
        return self.network(graph.inputs, graph.topology)[batch.nodes]

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.gnn import pictures

        drawn = super().pictures(stage)
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, Nodes):
            logits, labels = self.evaluated[stage]
            nodes = data.splits[stage].nodes[: len(labels)]  # the first ones, where the evaluation was cut short
            with torch.no_grad():
                everywhere = NodeBatch(data.graph, torch.arange(data.graph.num_nodes), labels).to(self.device)
                whole = self.logits(everywhere).float().cpu()
            wrong = nodes[logits.argmax(1) != labels]
            drawn[f"{stage}/graph"] = pictures.drawn_graph(
                data.graph.topology.edge_index, whole, wrong, self.class_names
            )
        return drawn

    def predict_inputs(self, *inputs: Tensor) -> Sequence[dict[str, Any]]:
        """The class of every node of a graph: features `[nodes, in_features]` and edges `[2, edges]`."""
        return self.answers(self.network(*inputs))


class GraphRegressor(TenfoldModule):
    r"""Minimises the mean squared error of each graph's normalised number, :math:`\sum_g (f(g) - y_g)^2 / G`.

    network: features `[batch, nodes, in_features]` and adjacency `[batch, nodes, nodes]` to `[batch]`.
    """

    metrics = {"r2": "max", "loss": "min", "mae": "min"}
    dashboard = ("val/r2", "test/r2", "test/scatter", "test/worst")

    spec: GraphSpec

    def __init__(self, spec: GraphSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network = network
        self.gathered: dict[str, Gathered] = {}
        self.evaluated: dict[str, tuple[Tensor, Tensor]] = {}  # predicted and true numbers of the last pass

    def losses(self, batch: GraphBatch) -> Sums:
        return self._squared_error(self.network(batch.features, batch.adjacency), batch.targets)

    def weights(self, batch: GraphBatch) -> Weights:
        return {"squared_error": len(batch.targets)}

    def evaluate(self, batch: GraphBatch, stage: Stage) -> Sums:
        outputs = self.network(batch.features, batch.adjacency)
        self.gathered.setdefault(stage, Gathered()).add(self._numbers(outputs), batch.targets)
        return self._squared_error(outputs, batch.targets)

    def _squared_error(self, outputs: Tensor, targets: Tensor) -> Sums:
        normalised = (targets - self.spec.target_mean) / self.spec.target_std
        return {"squared_error": (outputs - normalised).square().sum()}

    def _numbers(self, outputs: Tensor) -> Tensor:
        return outputs * self.spec.target_std + self.spec.target_mean

    def measure(self, stage: Stage) -> dict[str, float]:
        """R²: the share of the numbers' variance on this split that is explained; the mean absolute error."""
        found, true = (column.double() for column in self.gathered.pop(stage).all())
        self.evaluated[stage] = found, true
        spread = (true - true.mean()).square().sum()
        return {"r2": float(1 - (found - true).square().sum() / spread), "mae": float((found - true).abs().mean())}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.gnn import pictures

        found, true = self.evaluated[stage]
        drawn: dict[str, Picture] = {f"{stage}/scatter": pictures.scatter(found, true, self.spec.target_name)}
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            graphs = data.splits[stage].data
            drawn[f"{stage}/worst"] = pictures.worst_graphs(graphs.features, graphs.adjacency, found, true)
        return drawn

    def predict_inputs(self, *inputs: Tensor) -> Sequence[dict[str, Any]]:
        """The number of every graph: features `[batch, nodes, in_features]` and adjacency `[batch, nodes, nodes]`."""
        numbers = self._numbers(self.network(*inputs))
        return [{self.spec.target_name: round(number, 4)} for number in numbers.tolist()]
