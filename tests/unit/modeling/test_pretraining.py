from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer

from intent_tracking.modeling import pretraining
from intent_tracking.modeling.adaptation import Adaptation, AdaptationProgress, AdaptationRecipe, drawn_texts
from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.encoder import ADAPTATION_FILE, find_encoder, load_encoder
from intent_tracking.modeling.masking import MaskingTable, guessable, mask_words
from intent_tracking.modeling.pretraining import adapt_encoder
from intent_tracking.modeling.tokenization import SessionTokenizer, extend_vocabulary
from tests.fakes.tiny_encoder import tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit

RECIPE = AdaptationRecipe(passes=20, batch_size=8, learning_rate=5e-3, frozen_share=0.25)
CHINESE = ("我想退货", "退货要多久", "我的快递到了吗", "快递多久能到", "想换货可以吗", "换货要多久")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [*tiny_examples()["text"].to_pylist(), *CHINESE]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_an_adapted_encoder_guesses_better_and_is_a_base_encoder(base: Path, texts: list[str], tmp_path: Path) -> None:
    seen: list[AdaptationProgress] = []
    made = adapt_encoder(
        texts, str(base), tmp_path / "adapted", recipe=RECIPE, device="cpu", work_dir=tmp_path, progress=seen.append
    )
    assert made.adaptation.last_loss < 0.9 * made.adaptation.first_loss
    assert made.adaptation.texts == len(texts)
    assert seen[-1].step == seen[-1].steps == made.adaptation.steps
    assert list((tmp_path / "tensorboard").glob("events.*"))
    assert not (tmp_path / "checkpoints").exists()
    found = find_encoder(str(made.folder))
    written = (found.folder / ADAPTATION_FILE).read_text(encoding="utf-8")
    assert Adaptation.model_validate_json(written) == made.adaptation
    load_encoder(found)


def test_rows_that_an_adaptation_added_are_fine_tuned_too(base: Path, texts: list[str], tmp_path: Path) -> None:
    made = adapt_encoder(texts, str(base), tmp_path / "adapted", recipe=RECIPE.model_copy(update={"passes": 1}))
    rows = len(_weights(base)["bert.embeddings.word_embeddings.weight"])
    model = assemble(prepare_dataset(tiny_examples(), str(made.folder)), champion=None, dropout=0.1, seed=0)
    assert made.adaptation.trained_from == model.config.base_vocabulary == rows
    old = _weights(base)["bert.embeddings.word_embeddings.weight"]
    new = model.encoder.get_input_embeddings().weight.detach()
    assert torch.equal(old, new[:rows])


def test_the_same_seed_gives_the_same_encoder(base: Path, texts: list[str], tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"passes": 2})
    runs = [
        _weights(adapt_encoder(texts, str(base), tmp_path / name, recipe=recipe, seed=seed, device="cpu").folder)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert any(not torch.equal(runs[0][name], runs[2][name]) for name in runs[0])


class KilledError(Exception):
    pass


def test_a_killed_adaptation_ends_as_it_would_have(
    base: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.model_copy(update={"passes": 4})
    whole = adapt_encoder(texts, str(base), tmp_path / "whole", recipe=recipe, device="cpu")
    step = pretraining._Adapter._step

    def killed(adapter: pretraining._Adapter, places: list[int]) -> tuple[float, float]:
        if adapter._state.step == 14:
            raise KilledError
        return step(adapter, places)

    arguments = {"recipe": recipe, "device": "cpu", "work_dir": tmp_path / "work", "checkpoint_seconds": 0.0}
    monkeypatch.setattr(pretraining._Adapter, "_step", killed)
    with pytest.raises(KilledError):
        adapt_encoder(texts, str(base), tmp_path / "resumed", **arguments)
    assert not (tmp_path / "resumed").exists()
    monkeypatch.setattr(pretraining._Adapter, "_step", step)
    resumed = adapt_encoder(texts, str(base), tmp_path / "resumed", **arguments)
    assert resumed.adaptation.steps == whole.adaptation.steps
    first, second = _weights(whole.folder), _weights(resumed.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_checkpoint_of_another_version_of_the_code_is_not_gone_on_with(
    base: Path, texts: list[str], tmp_path: Path
) -> None:
    seen: list[AdaptationProgress] = []
    step = tmp_path / "checkpoints" / "step-00000007"
    step.mkdir(parents=True)
    (step / "state.json").write_text('{"step": 7}', encoding="utf-8")
    recipe = RECIPE.model_copy(update={"passes": 1})
    made = adapt_encoder(
        texts, str(base), tmp_path / "adapted", recipe=recipe, device="cpu", work_dir=tmp_path, progress=seen.append
    )
    assert seen[-1].step == made.adaptation.steps == -(-len(set(texts)) // recipe.batch_size)


def test_an_adaptation_stops_when_its_time_is_over(base: Path, texts: list[str], tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"passes": 100_000})
    made = adapt_encoder(texts, str(base), tmp_path / "adapted", recipe=recipe, max_seconds=0.3, device="cpu")
    assert made.adaptation.stopped == "time"
    assert made.adaptation.seconds < 60


def test_the_time_of_an_adaptation_holds_its_preparation(base: Path, texts: list[str], tmp_path: Path) -> None:
    # Cause: the clock began after tokenizing, which of a shop's months of sessions took longer than the time given.
    def slowly() -> Iterator[str]:
        time.sleep(0.5)
        yield from texts

    recipe = RECIPE.model_copy(update={"passes": 100})
    made = adapt_encoder(slowly(), str(base), tmp_path / "adapted", recipe=recipe, max_seconds=0.01, device="cpu")
    assert (made.adaptation.steps, made.adaptation.stopped) == (1, "time")
    assert made.adaptation.seconds > 0.5


@given(
    st.lists(st.sampled_from([" ", *(f"text {number}" for number in range(12))])), st.integers(1, 8), st.integers(0, 3)
)
def test_the_same_texts_are_drawn_in_any_order_and_the_others_counted(found: list[str], most: int, seed: int) -> None:
    drawn, left_out = drawn_texts(iter(found), most, seed)
    different = [text for text in dict.fromkeys(found) if text.strip()]
    assert drawn == [text for text in different if text in drawn]
    assert len(drawn) == min(most, len(different))
    assert left_out == sum(text not in drawn for text in found if text.strip())
    assert set(drawn_texts(sorted(found, reverse=True), most, seed)[0]) == set(drawn)


def test_another_seed_draws_other_texts() -> None:
    texts = [f"text {number}" for number in range(200)]
    first, second = (drawn_texts(texts, 100, seed)[0] for seed in (0, 1))
    assert 25 < len({*first} & {*second}) < 75


def test_too_few_texts_are_refused_by_number(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 different texts: an adaptation needs at least 32"):
        adapt_encoder(["hello"] * 50, str(base), tmp_path / "adapted")


def test_a_folder_that_was_not_adapted_here_is_not_replaced(base: Path, texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="which would be erased"):
        adapt_encoder(texts, str(base), base, recipe=RECIPE, work_dir=tmp_path / "work")
    assert (base / "tokenizer.json").is_file()
    assert not (tmp_path / "work").exists()


def test_a_batch_of_behaviour_without_words_teaches_nothing_and_breaks_nothing(base: Path, tmp_path: Path) -> None:
    steps = [" ".join(("<view>", *more)) for more in product(("<view>", "<search>", "<again>"), repeat=3)]
    words = [f"where is my {thing} {place}" for place in "abcdefgh" for thing in ("parcel", "order")]
    made = adapt_encoder(
        [*steps, *words], str(base), tmp_path / "adapted", recipe=AdaptationRecipe(passes=1, batch_size=2), device="cpu"
    )
    assert made.adaptation.texts == len(steps) + len(words)
    assert np.isfinite([made.adaptation.first_loss, made.adaptation.last_loss]).all()
    written = (made.folder / ADAPTATION_FILE).read_text(encoding="utf-8")
    assert Adaptation.model_validate_json(written) == made.adaptation
    assert all(torch.isfinite(value).all() for value in _weights(made.folder).values())


def test_whole_words_are_guessed_and_nothing_else_changes(base: Path, texts: list[str]) -> None:
    vocabulary = extend_vocabulary(Tokenizer.from_file(str(base / "tokenizer.json")), texts, ("<search>", "[MASK]"))
    tokenizer = SessionTokenizer(vocabulary, 64)
    entries = tokenizer.encode(["<search> parcels 我想退货 zzz", *texts])
    table = MaskingTable.of(tokenizer, sorted({identity for entry in entries for identity in entry.ids}))
    random = np.random.default_rng(0)
    for entry in entries * 20:
        ids = np.asarray(entry.ids, dtype=np.int64)
        words = guessable(ids, np.asarray(entry.word_starts), table)
        masked, chosen = mask_words(ids, words, table, random)
        assert chosen.any()
        assert not chosen[0]
        assert not chosen[-1]
        assert np.array_equal(masked[~chosen], ids[~chosen])
        assert all(len(set(chosen[list(word)])) == 1 for word in words)
        assert vocabulary.token_to_id("<search>") not in ids[chosen]
    assert len(guessable(np.asarray(entries[0].ids), np.asarray(entries[0].word_starts), table)) == 6
