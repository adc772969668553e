"""Domain-adaptive pretraining: an encoder reads unlabelled texts of the shop before it learns what they mean."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from intent_tracking.modeling.adaptation import Adaptation, AdaptationProgress, AdaptationRecipe, AdaptedEncoder
from intent_tracking.modeling.batching import plan_pass
from intent_tracking.modeling.board import Board
from intent_tracking.modeling.checkpoint import (
    WorkState,
    newest_step,
    optimizer_tensors,
    restore,
    restore_optimizer,
    save_step,
    snapshot,
    trainable,
)
from intent_tracking.modeling.encoder import (
    ADAPTATION_FILE,
    allowed_config,
    attend_for,
    find_encoder,
    load_encoder,
    positions_of,
)
from intent_tracking.modeling.hardware import choose_device, has_fast_bf16
from intent_tracking.modeling.masking import MaskingTable, guessable, mask_token, mask_words
from intent_tracking.modeling.model import SplitEmbedding, extend_rows
from intent_tracking.modeling.predicting import pad
from intent_tracking.modeling.tokenization import SessionTokenizer, added_rows, extend_vocabulary
from intent_tracking.modeling.training_result import TrainingDivergedError
from intent_tracking.sessions.vocabulary import SPECIAL_TOKENS
from intent_tracking.settings import Device
from intent_tracking.tables import atomic_directory, require_replaceable

_MAX_TOKENS = 96
# An encoder that was adapted here, and nothing besides, may be replaced by another one.
_FILES = ("config.json", "tokenizer.json", "model.safetensors", ADAPTATION_FILE)
# Below this many texts there is nothing to learn a language from.
_FEWEST_TEXTS = 32


class _Guess(nn.Module):
    """Which word stood there: a transform that begins as the identity, then the word table itself (tied)."""

    def __init__(self, hidden: int, candidates: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.norm = nn.LayerNorm(hidden)
        self.bias = nn.Parameter(torch.zeros(candidates))

    def forward(self, states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """states [M, H] of the guessed places, rows [C, H] of the candidates -> logits [M, C]."""
        return functional.linear(self.norm(self.dense(states)), rows, self.bias)


class _State(WorkState):
    """Where an adaptation stands, beside the tensors of its checkpoint."""

    awake: int = 0  # steps in which the encoder was trained too
    seconds: float = 0.0
    tokens: int = 0
    losses: list[float] = Field(default_factory=list)


def adapt_encoder(
    texts: Iterable[str],
    base_encoder: str,
    target_dir: Path,
    *,
    seed: int = 0,
    max_seconds: float | None = None,
    recipe: AdaptationRecipe | None = None,
    device: Device = "auto",
    work_dir: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[AdaptationProgress], None] | None = None,
) -> AdaptedEncoder:
    """Go on pretraining `base_encoder` on `texts` and write the encoder to `target_dir`, whole or not at all.

    Each batch is read twice with different words masked: both readings guess what was masked (Gururangan et al. 2020),
    and are drawn together against the other texts of the batch (Gao et al. 2021). The vocabulary is extended by what
    the texts hold. Of the words only those that occur in the texts are candidates, which makes the guess cheap.

    A killed run that is started again with the same arguments goes on from its checkpoint and ends as it would have,
    unless the time decides.

    Args:
        texts: rendered session texts or utterances; of equal ones the first counts. All are tokenized at first and take
            a kilobyte each: of more than the time is enough for, draw some (`drawn_texts`).
        base_encoder: hub id, local folder or the packaged MiniLM.
        target_dir: takes `config.json`, `tokenizer.json`, `model.safetensors` and `adaptation.json`.
        seed: of order, masks, dropout and new rows.
        max_seconds: stop after this time, counted from the call on (of a killed run: also what it had done before);
            one step is always made. The learning rate comes down with the time where the steps would not fit.
        recipe: how to train; None: the defaults.
        device: where to train.
        work_dir: takes `checkpoints/` and TensorBoard's `tensorboard/`; None: neither is kept.
        checkpoint_seconds: least time between two checkpoints.
        progress: called about twice a second.

    Raises:
        ValueError: there are fewer than 32 different texts.
        EncoderError: the base encoder cannot be had.
        TrainingDivergedError: a loss is not a number any more.
        FileExistsError: `target_dir` holds anything else than an adapted encoder.
    """
    began = time.monotonic()
    require_replaceable(target_dir, _FILES if (target_dir / ADAPTATION_FILE).is_file() else ())
    different = list(dict.fromkeys(text for text in texts if text.strip()))
    if len(different) < _FEWEST_TEXTS:
        raise ValueError(f"{len(different)} different texts: an adaptation needs at least {_FEWEST_TEXTS}; ingest more")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapter = _Adapter(
            different, base_encoder, recipe or AdaptationRecipe(), seed, choose_device(device), max_seconds, began
        )
        if work_dir is not None:
            adapter.resume(work_dir / "checkpoints")
        adapter.run(work_dir, checkpoint_seconds, progress)
        made = adapter.save(target_dir)
    if work_dir is not None:
        shutil.rmtree(work_dir / "checkpoints", ignore_errors=True)
    return made


class _Adapter:
    _encoder: Any  # transformers is untyped

    def __init__(
        self,
        texts: Sequence[str],
        base_encoder: str,
        recipe: AdaptationRecipe,
        seed: int,
        device: torch.device,
        max_seconds: float | None,
        began: float,
    ) -> None:
        self._texts, self._recipe, self._seed = texts, recipe, seed
        self._device, self._max_seconds, self._began = device, max_seconds, began
        self._prepared = 0.0
        self._base = base = find_encoder(base_encoder)
        vocabulary = Tokenizer.from_file(str(base.tokenizer_file))
        entries = (*SPECIAL_TOKENS, mask_token(vocabulary))
        most = min(_MAX_TOKENS, positions_of(base.config()))
        self._tokenizer = SessionTokenizer(extend_vocabulary(vocabulary, texts, entries), most)
        # Arrays alone are kept of a text, about a kilobyte; its encoding and its words as objects would be twenty.
        self._ids: list[npt.NDArray[np.int64]] = []
        self._word_starts: list[npt.NDArray[np.bool_]] = []
        for entry in self._tokenizer.encode_each(texts):
            self._ids.append(np.asarray(entry.ids, dtype=np.int64))
            self._word_starts.append(np.asarray(entry.word_starts, dtype=np.bool_))
        self._table = table = MaskingTable.of(self._tokenizer, np.unique(np.concatenate(self._ids)).tolist())
        self._encoder = load_encoder(base)
        added = added_rows(SessionTokenizer.from_file(base.tokenizer_file, 8).vocabulary, self._tokenizer.vocabulary)
        extend_rows(self._encoder, added, seed)
        self._first_trained = base.trained_from(added.first_id)
        embedding = SplitEmbedding(self._encoder.get_input_embeddings(), self._first_trained)
        self._encoder.set_input_embeddings(embedding)
        self._guess = _Guess(self._encoder.config.hidden_size, len(table.words))
        self._network = nn.ModuleDict({"encoder": self._encoder, "guess": self._guess}).to(device)
        self._candidates = torch.from_numpy(table.words).to(device)
        self._place = torch.full((self._tokenizer.vocabulary_size,), -1, dtype=torch.int64, device=device)
        self._place[self._candidates] = torch.arange(len(table.words), device=device)
        self._optimizer = _optimizer(self._network, recipe)
        self._bf16 = has_fast_bf16(device)
        attend_for(self._encoder, device, bf16=self._bf16)
        self._steps = recipe.passes * -(-len(texts) // recipe.batch_size)
        self._state = _State(key=self._key(base_encoder))
        self._stopped: Literal["finished", "time"] = "finished"

    def _key(self, base_encoder: str) -> str:
        parts = [base_encoder, _fingerprint(self._texts), self._recipe.model_dump(), self._seed, self._max_seconds]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def resume(self, folder: Path) -> None:
        """Go on from the newest checkpoint of the same work, if there is one."""
        found = newest_step(folder, _State, self._state.key)
        if found is None:
            return
        place, self._state = found
        restore(self._network, load_file(place / "weights.safetensors"))
        moments = load_file(place / "optimizer.safetensors")
        restore_optimizer(self._network, self._optimizer, moments, self._state.step)
        for group in self._optimizer.param_groups:
            for value in group["params"]:
                if group["waits"] and value in self._optimizer.state:
                    self._optimizer.state[value]["step"].fill_(self._state.awake)

    def _checkpoint(self, folder: Path) -> None:
        moments = optimizer_tensors(self._network, self._optimizer)
        save_step(folder, self._state, weights=snapshot(self._network), optimizer=moments)

    def run(
        self, work_dir: Path | None, checkpoint_seconds: float, progress: Callable[[AdaptationProgress], None] | None
    ) -> None:
        state, recipe = self._state, self._recipe
        board = Board(None if work_dir is None else work_dir / "tensorboard", state.step)
        lengths = list(map(len, self._ids))
        always = [True] * len(lengths)
        saved = reported = time.monotonic()
        began = self._began - state.seconds
        state.seconds = saved - began
        self._prepared = saved - self._began
        try:
            while state.step < self._steps and self._stopped == "finished":
                number, done = divmod(state.step, self._steps // recipe.passes)
                for places in plan_pass(lengths, recipe.batch_size, self._seed, number, always=always)[done:]:
                    masked, contrast = self._step(places)
                    state.step += 1
                    state.losses.append(masked)
                    now = time.monotonic()
                    state.seconds = now - began
                    if not math.isfinite(masked + contrast):
                        raise TrainingDivergedError(
                            f"adaptation diverged: the losses of step {state.step:,} are {masked} and {contrast}; take "
                            f"a learning rate below {recipe.learning_rate:g}"
                        )
                    board.write("adaptation/masked_loss", masked, state.step)
                    board.write("adaptation/contrast_loss", contrast, state.step)
                    if work_dir is not None and now - saved >= checkpoint_seconds:
                        self._checkpoint(work_dir / "checkpoints")
                        saved = time.monotonic()
                    if progress is not None and (now - reported >= 0.5 or state.step == self._steps):
                        progress(AdaptationProgress(state.step, self._steps, masked, contrast, state.seconds))
                        reported = now
                    if self._max_seconds is not None and state.seconds >= self._max_seconds:
                        self._stopped = "finished" if state.step == self._steps else "time"
                        break
        finally:
            board.close()

    def _done(self) -> float:
        """Share of the way that is behind us, by steps or by the time to read in, whichever is more."""
        done = self._state.step / self._steps
        if self._max_seconds is not None:
            to_read = max(self._max_seconds - self._prepared, 1e-9)
            done = max(done, (self._state.seconds - self._prepared) / to_read)
        return min(1.0, done)

    def _step(self, places: Sequence[int]) -> tuple[float, float]:
        state, recipe = self._state, self._recipe
        self._network.train()
        torch.manual_seed(self._seed * 1_000_003 + state.step)
        random = np.random.default_rng([self._seed, 1, state.step])
        done = self._done()
        rate = min(1.0, (state.step + 1) / max(1, int(recipe.warmup_share * self._steps)), 1.0 - done)
        for group in self._optimizer.param_groups:
            frozen = group["waits"] and done < recipe.frozen_share
            group["lr"] = 0.0 if frozen else group["peak"] * max(rate, 0.0)
            for value in group["params"]:
                value.requires_grad_(not frozen)
        ids, mask, chosen = self._masked(places, random)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bf16):
            states = self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            rows = self._encoder.get_input_embeddings()(self._candidates)
            logits = self._guess(states[chosen >= 0], rows)
        # A sum: texts of events alone have no word to guess, and sorted by length they meet in one batch.
        masked = functional.cross_entropy(logits.float(), chosen[chosen >= 0], reduction="sum") / max(1, len(logits))
        contrast = self._contrast(states, mask, places) if recipe.contrast_weight else masked.new_zeros(())
        loss = masked + recipe.contrast_weight * contrast
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trainable(self._network).values(), recipe.clip_norm)
        self._optimizer.step()
        state.awake += done >= recipe.frozen_share
        state.tokens += int(mask.sum())
        return float(masked.detach()), float(contrast.detach())

    def _masked(
        self, places: Sequence[int], random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Two readings of each text: ids, mask and which candidate to guess, -1 elsewhere; all [2B, T]."""
        rows: list[npt.NDArray[np.int64]] = []
        chosen: list[npt.NDArray[np.bool_]] = []
        words = {place: guessable(self._ids[place], self._word_starts[place], self._table) for place in places}
        for place in [*places, *places]:
            row, guessed = mask_words(self._ids[place], words[place], self._table, random, self._recipe.mask_rate)
            rows.append(row)
            chosen.append(guessed)
        ids, mask = pad(rows)
        truth, _ = pad([self._ids[place] for place in [*places, *places]])
        wanted, _ = pad(chosen)
        targets = self._place[torch.from_numpy(truth).to(self._device)]
        targets[torch.from_numpy((wanted == 0) | (mask == 0)).to(self._device)] = -1
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device), targets

    def _contrast(self, states: torch.Tensor, mask: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        weights = mask.unsqueeze(-1).float()
        pooled = functional.normalize((states.float() * weights).sum(1) / weights.sum(1), dim=1)
        half = len(places)
        likeness = pooled[:half] @ pooled[half:].T / self._recipe.temperature
        own = torch.arange(half, device=likeness.device)
        return (functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)) / 2

    def save(self, target: Path) -> AdaptedEncoder:
        state = self._state
        table = self._encoder.get_input_embeddings()
        weights = {name: value.detach().to("cpu").contiguous() for name, value in self._encoder.state_dict().items()}
        prefix = next(name for name in weights if name.endswith(".added")).removesuffix("added")
        del weights[prefix + "added"]
        weights[prefix + "weight"] = table.merged().to("cpu").contiguous()
        config = allowed_config(self._encoder.config.to_dict(), str(self._base.folder))
        tenth = max(1, len(state.losses) // 10)
        adaptation = Adaptation(
            base_encoder=self._base.name,
            trained_from=self._first_trained,
            texts=len(self._texts),
            fingerprint=_fingerprint(self._texts),
            seed=self._seed,
            recipe=self._recipe,
            steps=state.step,
            tokens=state.tokens,
            seconds=state.seconds,
            first_loss=float(np.mean(state.losses[:tenth])),
            last_loss=float(np.mean(state.losses[-tenth:])),
            stopped=self._stopped,
        )
        with atomic_directory(target) as building:
            save_file(weights, building / "model.safetensors")
            (building / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (building / "tokenizer.json").write_text(self._tokenizer.to_json(), encoding="utf-8")
            (building / ADAPTATION_FILE).write_text(adaptation.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return AdaptedEncoder(target, adaptation)


def _fingerprint(texts: Sequence[str]) -> str:
    return hashlib.sha256(b"".join(text.encode() + b"\x00" for text in texts)).hexdigest()


def _optimizer(network: nn.Module, recipe: AdaptationRecipe) -> torch.optim.Optimizer:
    """AdamW in groups: the encoder, which waits for the new rows; the guessing head; the new rows."""
    groups: dict[str, list[nn.Parameter]] = {"encoder": [], "plain": [], "guess": [], "rows": []}
    for name, value in trainable(network).items():
        if name.endswith("embeddings.added"):
            groups["rows"].append(value)
        elif name.startswith("guess"):
            groups["guess"].append(value)
        else:
            groups["encoder" if value.ndim > 1 else "plain"].append(value)
    rates = {"rows": recipe.rows_rate, "guess": 5 * recipe.learning_rate}
    settings: list[dict[str, Any]] = [
        {
            "params": values,
            "peak": rates.get(kind, recipe.learning_rate),
            "waits": kind in ("encoder", "plain"),
            "weight_decay": recipe.weight_decay if kind == "encoder" else 0.0,
        }
        for kind, values in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=recipe.learning_rate, fused=True)
