"""Trained weights → an int8 ONNX graph.

Written node by node, not traced: it then uses the fused operators of onnxruntime, has no dead branches, and does not
depend on an exporter's version. Why these forms: docs/decisions/003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from magistrate.train.embedded.shape import EPSILON, HEADS, LAYERS, WIDTH

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
"""The encoder's tensors by the names of `network.TokenEncoder`."""

MAX_TOKENS = 256
OPSET, IR_VERSION = 17, 9
CONTRIB = "com.microsoft"
WEIGHT_STEPS = 63
"""Weights use 7 of the 8 bits: 255 * 63 * 2 fits 16 bits, so the byte products of CPUs without VNNI cannot saturate
and every x86 machine computes the same integers (onnxruntime's guide to quantisation, "reduce_range")."""


@dataclass
class _Graph:
    """Nodes and constants of a graph that is being written. Each method adds and returns the output's name."""

    weights: Weights
    quantised: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add a constant, once a name."""
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: int | float) -> str:
        """Add an operator with one output."""
        name = f"{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [name], name=name, domain=domain)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(node)
        return name

    def split_three(self, value: str) -> list[str]:
        """Cut the joint projection into query, key and value."""
        names = [f"{value}_{part}" for part in ("query", "key", "value")]
        sizes = self.constant("three_widths", np.full(3, WIDTH, np.int64))
        self.nodes.append(helper.make_node("Split", [value, sizes], names, axis=-1))
        return names

    def layer_norm(self, value: str, prefix: str) -> str:
        """Normalise. Not joined with the sum before it: onnxruntime's SkipLayerNormalization took 6 times as long."""
        scale = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"])
        bias = self.constant(f"{prefix}.bias", self.weights[f"{prefix}.bias"])
        return self.node("LayerNormalization", [value, scale, bias], axis=-1, epsilon=EPSILON)

    def linear(self, value: str, name: str) -> str:
        """Multiply by a weight (outputs, inputs), add a bias. Int8: one scale an output, activations at run time."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        bias_name = self.constant(f"{name}.bias", bias)
        if not self.quantised:
            return self.node("Add", [self.node("MatMul", [value, self.constant(name, weight.T)]), bias_name])
        scale = (np.abs(weight).max(axis=1) / WEIGHT_STEPS).astype(np.float32)
        steps = np.clip(np.round(weight / scale[:, None]), -WEIGHT_STEPS, WEIGHT_STEPS).astype(np.int8)
        inputs = [value, self.constant(name, steps.T), self.constant(f"{name}.scale", scale), "", bias_name]
        return self.node("DynamicQuantizeMatMul", inputs, domain=CONTRIB)

    def embed_tokens(self) -> str:
        """Look tokens up. Int8: one scale a token."""
        table = self.weights["words.weight"]
        if not self.quantised:
            return self.node("Gather", [self.constant("tokens", table), "input_ids"])
        scale = (np.abs(table).max(axis=1, keepdims=True) / 127).astype(np.float32)
        steps = np.round(table / np.maximum(scale, np.finfo(np.float32).tiny)).astype(np.int8)
        rows = self.node("Gather", [self.constant("tokens", steps), "input_ids"])
        rows = self.node("Cast", [rows], to=TensorProto.FLOAT)
        return self.node("Mul", [rows, self.node("Gather", [self.constant("tokens.scale", scale), "input_ids"])])


def build_graph(weights: Weights, *, quantised: bool) -> onnx.ModelProto:
    """Write BERT with six layers.

    Input: `input_ids` (batch, tokens) int64, padded with 0, at most 256 tokens. Output: `states` (batch, tokens, 384)
    float32.
    """
    graph = _Graph(weights, quantised)
    value = _add_embeddings(graph)
    zero = graph.constant("zero", np.zeros(1, np.int64))
    visible = graph.node("Cast", [graph.node("Greater", ["input_ids", zero])], to=TensorProto.INT32)
    for index in range(LAYERS):
        value = _add_layer(graph, value, visible, f"layers.{index}")
    graph.nodes.append(helper.make_node("Identity", [value], ["states"]))
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])]
    output = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "tokens", WIDTH])
    body = helper.make_graph(graph.nodes, "magistrate-embedded", inputs, [output], [*graph.constants.values()])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=IR_VERSION, producer_name="magistrate")


def _add_embeddings(graph: _Graph) -> str:
    """Token and position embeddings, normalised."""
    begin = graph.constant("zero", np.zeros(1, np.int64))
    count = graph.node("Shape", ["input_ids"], start=1, end=2)
    places = graph.constant("places", graph.weights["places.weight"][:MAX_TOKENS])
    place = graph.node("Slice", [places, begin, count])
    return graph.layer_norm(graph.node("Add", [graph.embed_tokens(), place]), "norm")


def _add_layer(graph: _Graph, value: str, visible: str, prefix: str) -> str:
    """One transformer layer: attention and feed-forward, each with its sum and norm after it."""
    parts = graph.split_three(graph.linear(value, f"{prefix}.qkv"))
    mixed = graph.node("MultiHeadAttention", [*parts, "", visible], domain=CONTRIB, num_heads=HEADS)
    mixed = graph.linear(mixed, f"{prefix}.out")
    value = graph.layer_norm(graph.node("Add", [mixed, value]), f"{prefix}.attention_norm")
    inner = graph.node("Gelu", [graph.linear(value, f"{prefix}.up")], domain=CONTRIB)
    inner = graph.linear(inner, f"{prefix}.down")
    return graph.layer_norm(graph.node("Add", [inner, value]), f"{prefix}.norm")
