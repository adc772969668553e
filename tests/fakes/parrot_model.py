"""A language model of two small layers that says one sentence, in the files that transformers reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from tests.fakes.service_process import free_port, stop, wait_until_it_answers

_SPECIAL = ["<pad>", "<end>", "<message>", "<reply>"]
_TEMPLATE = "{% for message in messages %}<message>{{ message['content'] }}{% endfor %}<reply>"
_LEARNED = 0.05
_MOST_STEPS = 600


def write_parrot(folder: Path, sentence: str) -> None:
    """Train a model that answers `sentence` to whatever was said before, and save it in `folder`.

    It sees a few bytes at a time only, so that a prompt of any length is like those it was trained on.
    """
    tokenizer = _bytes_as_tokens()
    torch.manual_seed(0)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
            max_position_embeddings=8192,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    reply = torch.tensor([*tokenizer.encode("<reply>" + sentence), tokenizer.eos_token_id]).expand(8, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(_MOST_STEPS):
        before = torch.randint(len(_SPECIAL), len(tokenizer), (8, 24))
        ids = torch.cat([before, reply], 1)
        labels = ids.masked_fill(torch.arange(ids.shape[1]) <= 24, -100)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < _LEARNED:
            break
    assert loss.item() < _LEARNED, "the model did not learn its sentence"
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _bytes_as_tokens() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: place for place, token in enumerate(_SPECIAL + alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(_SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", chat_template=_TEMPLATE
    )


@contextmanager
def transformers_serve(log: Path) -> Iterator[str]:
    """`transformers serve` on a free port while the block lasts: its base address. It loads what a request names."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("transformers"), "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        stop(process)
