"""FuxiCTR's models, assembled from its layers as its model zoo does, trained by its trainer.

Run by bench_crm_peer.py with the Python of an environment that holds ``fuxictr==2.3.7``; imports
nothing of reclora. Reads commands on stdin, a line each, and answers on stdout, a line each:

    train N    -> seconds of N steps
    score FILE -> the file of (n,) scores of the rows of valid.npz
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch import layers
from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
from fuxictr.pytorch.models import BaseModel
from torch import nn

POOLED = "layers.MaskedAveragePooling()"


class Ranker(BaseModel):
    """What the four share: embeddings of all fields, an MLP, Adam, BCE."""

    def __init__(self, feature_map: FeatureMap, sizes: dict) -> None:
        super().__init__(feature_map, verbose=0, model_root=sizes["folder"], metrics=["AUC"])
        self.embedding_layer = layers.FeatureEmbedding(feature_map, sizes["embedding"])
        self.width = feature_map.get_num_fields() * sizes["embedding"]
        self.build(feature_map, sizes)
        self.compile("adam", "binary_crossentropy", sizes["learning_rate"])
        self.reset_parameters()
        self._max_gradient_norm = 10.0

    def mlp(self, sizes: dict, output: int | None) -> layers.MLP_Block:
        return layers.MLP_Block(
            self.width, list(sizes["dnn_layers"]), "ReLU", output, dropout_rates=sizes["dropout"]
        )

    def forward(self, inputs: dict) -> dict:
        X = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.logit(X))}


class DeepFM(Ranker):
    def build(self, feature_map: FeatureMap, sizes: dict) -> None:
        self.fm = layers.FactorizationMachine(feature_map)
        self.dnn = self.mlp(sizes, 1)

    def logit(self, X: dict) -> torch.Tensor:
        fields = self.embedding_layer(X)
        return self.fm(X, fields) + self.dnn(fields.flatten(start_dim=1))


class DCNv2(Ranker):
    def build(self, feature_map: FeatureMap, sizes: dict) -> None:
        self.crossnet = layers.CrossNetV2(self.width, sizes["cross_layers"])
        self.dnn = self.mlp(sizes, None)
        self.fc = nn.Linear(self.width + sizes["dnn_layers"][-1], 1)

    def logit(self, X: dict) -> torch.Tensor:
        fields = self.embedding_layer(X, flatten_emb=True)
        return self.fc(torch.cat([self.crossnet(fields), self.dnn(fields)], dim=-1))


class MultiHeadSelfAttention(nn.Module):
    """As in the zoo's AutoInt: its scaled dot products, a projected residual, ReLU."""

    def __init__(self, into: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.W_q, self.W_k, self.W_v, self.W_res = (
            nn.Linear(into, width, bias=False) for _ in range(4)
        )
        self.dot_attention = layers.ScaledDotProductAttention(dropout)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        def by_head(projected: torch.Tensor) -> torch.Tensor:
            return projected.view(len(X), X.shape[1], self.heads, -1).transpose(1, 2)

        found, _ = self.dot_attention(*(by_head(W(X)) for W in (self.W_q, self.W_k, self.W_v)))
        return torch.relu(found.transpose(1, 2).flatten(2) + self.W_res(X))


class AutoInt(Ranker):
    def build(self, feature_map: FeatureMap, sizes: dict) -> None:
        own = sizes["autoint"]
        widths = [sizes["embedding"]] + [own["width"]] * own["layers"]
        self.self_attention = nn.Sequential(
            *(
                MultiHeadSelfAttention(into, out, own["heads"], sizes["dropout"])
                for into, out in pairwise(widths)
            )
        )
        self.fc = nn.Linear(feature_map.get_num_fields() * own["width"], 1)
        self.dnn = self.mlp(sizes, 1)

    def logit(self, X: dict) -> torch.Tensor:
        fields = self.embedding_layer(X)
        attended = self.self_attention(fields).flatten(start_dim=1)
        return self.fc(attended) + self.dnn(fields.flatten(start_dim=1))


class DIN(Ranker):
    """Attention over the behaviours' items; their ratings are a mean-pooled field."""

    def build(self, feature_map: FeatureMap, sizes: dict) -> None:
        self.embedding_layer = layers.FeatureEmbeddingDict(feature_map, sizes["embedding"])
        self.target = sizes["item_field"]
        self.attention = layers.DIN_Attention(
            sizes["embedding"], attention_units=list(sizes["attention_layers"])
        )
        self.dnn = self.mlp(sizes, 1)

    def logit(self, X: dict) -> torch.Tensor:
        found = self.embedding_layer(X)
        mask = X["history_items"].long() != 0
        found["history_items"] = self.attention(found[self.target], found["history_items"], mask)
        return self.dnn(self.embedding_layer.dict2tensor(found, flatten_emb=True))


MODELS = {"deepfm": DeepFM, "dcnv2": DCNv2, "autoint": AutoInt, "din": DIN}


def feature_map(folder: Path, sizes: dict, model: str) -> FeatureMap:
    found = FeatureMap("rows", str(folder))
    for name, size in sizes["fields"].items():
        found.features[name] = {"source": "", "type": "categorical", "vocab_size": size}
    history = {"source": "", "type": "sequence", "padding_idx": 0, "max_len": sizes["history"]}
    shared = {"share_embedding": sizes["item_field"], "vocab_size": sizes["items"]}
    pooled = {"feature_encoder": POOLED}
    found.features["history_items"] = {**history, **shared, **({} if model == "din" else pooled)}
    found.features["history_ratings"] = {**history, **pooled, "vocab_size": sizes["ratings"]}
    found.labels = ["label"]
    found.num_fields = found.get_num_fields()
    found.default_emb_dim = sizes["embedding"]
    found.set_column_index()
    return found


def main() -> None:
    folder, model = Path(sys.argv[1]), sys.argv[2]
    sizes = json.loads((folder / "sizes.json").read_text())
    torch.set_num_threads(sizes["threads"])
    torch.manual_seed(0)
    features = feature_map(folder, sizes, model)
    ranker = MODELS[model](features, sizes).train()
    settings = {"batch_size": sizes["batch"], "num_workers": sizes["workers"]}
    train = iter(NpzDataLoader(features, str(folder / "train.npz"), **settings))
    print("ready", sum(p.numel() for p in ranker.parameters()), flush=True)
    for line in sys.stdin:
        command, argument = line.split()
        if command == "train":
            start = time.perf_counter()
            for _ in range(int(argument)):
                ranker.train_step(next(train)).item()
            print(time.perf_counter() - start, flush=True)
        else:
            valid = NpzDataLoader(features, str(folder / "valid.npz"), **settings)
            np.save(argument, ranker.predict(valid))
            ranker.train()
            print(argument, flush=True)


if __name__ == "__main__":
    main()
