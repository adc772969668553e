"""The intent model: one encoder, and heads for intent, key information and outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from intent_tracking.modeling.encoder import build_encoder
from intent_tracking.modeling.intent_head import IntentHead
from intent_tracking.modeling.lexical_head import LexicalHead
from intent_tracking.modeling.packing import Packing
from intent_tracking.modeling.scene_adapters import encode, scene_adapters
from intent_tracking.modeling.tokenization import AddedRows

_OUTCOME_WIDTH = 64
# Share of chance in the direction of a new row that has sources.
_NOISE = 0.3


class FeatureScale(BaseModel):
    """How one user feature is standardised: signed log1p, then (x - mean) / deviation, as seen in training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mean: float
    deviation: float = Field(gt=0)


class ModelConfig(BaseModel):
    """Everything needed to build the architecture again; the content of `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: dict[str, str | int | float | None]
    base_vocabulary: int = Field(description="Rows below this come from the base encoder and are not trained.")
    max_tokens: int
    intent_classes: int = Field(description="Logits of the intent head; 0: the head is absent.")
    tags: int = Field(description="BIO tags of the key-information head, O included; 0: absent.")
    lexical: bool = Field(default=False, description="Whether a lexical head speaks beside the intent head.")
    outcome: bool
    features: tuple[FeatureScale, ...] = ()
    dropout: float = 0.1
    scenes: tuple[str, ...] = Field(default=(), description="Scenes told apart; scene i has index i + 1, others 0.")
    adapter_width: int = Field(default=0, ge=0, description="Bottleneck of the scene adapters; 0: there are none.")


class ModelOutput(NamedTuple):
    """Raw outputs for a batch; a head that is absent gives None.

    Shapes: pooled [B, H], intents [B, K], tags [B, T, G] ([1, N, G] of a packed batch), outcomes [B].
    """

    pooled: torch.Tensor
    intents: torch.Tensor | None
    tags: torch.Tensor | None
    outcomes: torch.Tensor | None


class SplitEmbedding(nn.Module):
    """A word embedding whose base rows are frozen and whose added rows are trained.

    The table is half of MiniLM's parameters; a dense optimiser update of it at every step would be wasted work.
    """

    frozen: torch.Tensor

    def __init__(self, base: nn.Embedding, first_added: int) -> None:
        super().__init__()
        weight = base.weight.detach()
        self.first_added = first_added
        self.register_buffer("frozen", weight[:first_added].clone(), persistent=False)
        self.added = nn.Parameter(weight[first_added:].clone())
        self.padding_idx = base.padding_idx

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Rows for `ids` [B, T] -> [B, T, H]."""
        rows = nn.functional.embedding(ids.clamp(max=self.first_added - 1), self.frozen)
        if len(self.added) == 0:
            return rows
        is_added = ids >= self.first_added
        return torch.where(
            is_added.unsqueeze(-1),
            nn.functional.embedding((ids - self.first_added).clamp(min=0), self.added).to(rows.dtype),
            rows,
        )

    def merged(self) -> torch.Tensor:
        """The whole table [V, H]."""
        return torch.cat([self.frozen, self.added.detach()])


class OutcomeHead(nn.Module):
    """Will this session buy? Reads the pooled text and the user features; a missing one has a learned default."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, hidden: int, features: Sequence[FeatureScale], dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([f.mean for f in features], dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor([f.deviation for f in features], dtype=torch.float32))
        self.default = nn.Parameter(torch.zeros(len(features)))
        self.layers = nn.Sequential(
            nn.Linear(hidden + len(features), _OUTCOME_WIDTH),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(_OUTCOME_WIDTH, 1),
        )

    def forward(self, pooled: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """pooled [B, H], features [B, F] with NaN where missing -> logits [B]."""
        scaled = (features.sign() * features.abs().log1p() - self.mean) / self.deviation
        filled = torch.where(features.isnan(), self.default, scaled.nan_to_num().clamp(-8, 8))
        logits: torch.Tensor = self.layers(torch.cat([pooled, filled.to(pooled.dtype)], dim=1)).squeeze(1)
        return logits


class IntentModel(nn.Module):
    """Encoder, mean pooling over the tokens, and the heads that `config` asks for."""

    encoder: Any  # transformers is untyped: its models answer to more than nn.Module does

    def __init__(self, config: ModelConfig, encoder: nn.Module | None = None) -> None:
        """Build with random weights, or around a given `encoder` whose vocabulary is already extended."""
        super().__init__()
        self.config = config
        self.encoder = encoder if encoder is not None else build_encoder(config.encoder)
        hidden: int = self.encoder.config.hidden_size
        self.hidden = hidden
        adapted = bool(config.scenes and config.adapter_width)
        self.adapters = (
            scene_adapters(hidden, config.adapter_width, len(config.scenes), self.encoder.config.num_hidden_layers)
            if adapted
            else None
        )
        self.dropout = nn.Dropout(config.dropout)
        self.intent = IntentHead(hidden, config.intent_classes) if config.intent_classes else None
        self.lexical = LexicalHead(config.intent_classes) if config.lexical else None
        self.tags = nn.Linear(hidden, config.tags) if config.tags else None
        self.outcome = OutcomeHead(hidden, config.features, config.dropout) if config.outcome else None

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        features: torch.Tensor | None = None,
        scenes: torch.Tensor | None = None,
        packing: Packing | None = None,
    ) -> ModelOutput:
        """Run a batch.

        Args:
            input_ids: int64 [B, T]; [1, N] of a packed batch.
            attention_mask: int64 [B, T], 1 for tokens, 0 for padding; not read of a packed batch.
            features: float32 [B, F] in the order of `config.features`, NaN where unknown; None: all unknown.
            scenes: int64 [B], 1 + the place in `config.scenes`, 0 for another scene; None: all 0. A batch may mix them.
            packing: where the texts of a packed batch lie; None: the batch is padded.
        """
        texts = len(input_ids) if packing is None else packing.count
        if self.adapters is None and packing is None:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        else:
            if scenes is None:
                scenes = torch.zeros(texts, dtype=torch.long, device=input_ids.device)
            states = encode(self.encoder, input_ids, attention_mask, self.adapters, scenes, packing)
        if packing is None:
            weights = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(1) / weights.sum(1)
        else:
            pooled = packing.means(states[0])
        dropped = self.dropout(pooled)
        intents = None if self.intent is None else self.intent(dropped)
        if self.lexical is not None and intents is not None:
            if packing is not None:
                raise ValueError("a lexical head reads padded batches: it is fitted after the training that packs them")
            intents = intents + self.lexical(input_ids, attention_mask)
        outcomes = None
        if self.outcome is not None:
            if features is None:
                features = torch.full((texts, len(self.config.features)), torch.nan, device=input_ids.device)
            outcomes = self.outcome(dropped, features)
        return ModelOutput(
            pooled=pooled,
            intents=intents,
            tags=None if self.tags is None else self.tags(self.dropout(states)),
            outcomes=outcomes,
        )

    def add_lexical(self, head: LexicalHead) -> None:
        """Let `head`, which is fitted after the training, speak beside the intent head from now on."""
        self.lexical = head
        self.config = self.config.model_copy(update={"lexical": True})

    def freeze_base_rows(self) -> None:
        """Prepare for training: base word rows are frozen, added rows are parameters."""
        table = self.encoder.get_input_embeddings()
        if not isinstance(table, SplitEmbedding):
            self.encoder.set_input_embeddings(SplitEmbedding(table, self.config.base_vocabulary))

    def merge_rows(self) -> None:
        """Undo `freeze_base_rows`: one plain table, as it is saved and served."""
        table = self.encoder.get_input_embeddings()
        if isinstance(table, SplitEmbedding):
            weight = table.merged()
            self.encoder.set_input_embeddings(_table(weight, table.padding_idx))


def _table(weight: torch.Tensor, padding: int | None) -> nn.Embedding:
    return nn.Embedding(weight.shape[0], weight.shape[1], padding_idx=padding, _weight=weight)


def extend_rows(encoder: Any, added: AddedRows, seed: int) -> None:
    """Give every added token a row as far from the table's mean as the table's own rows are.

    Its direction is that of the mean of its sources, with a little seeded noise that sets tokens with the same sources
    apart; without sources it is random. Rows that start close together stay alike for long, and the encoder then reads
    a text of unknown characters as one character repeated.
    """
    old = encoder.get_input_embeddings()
    weight = old.weight.detach()[: added.first_id]
    if added.tokens:
        generator = torch.Generator().manual_seed(seed)
        mean, width = weight.mean(0), weight.shape[1]
        typical = (weight - mean).std() * width**0.5
        chance = torch.randn((len(added.tokens), width), generator=generator, dtype=torch.float32) / width**0.5
        known = [
            functional.normalize((weight[list(source)] - mean).mean(0), dim=0) if source else mean.new_zeros(width)
            for source in added.sources
        ]
        share = torch.tensor([_NOISE if source else 1.0 for source in added.sources]).unsqueeze(1)
        rows = mean + typical * functional.normalize(torch.stack(known) + share * chance, dim=1)
        weight = torch.cat([weight, rows])
    encoder.set_input_embeddings(_table(weight, old.padding_idx))
    encoder.config.vocab_size = len(weight)
