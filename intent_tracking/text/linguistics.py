"""Words, universal tags and dependency trees of texts: the one module behind which spaCy sits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intent_tracking.text.language import Language
from intent_tracking.text.personal_data import PLACEHOLDERS

if TYPE_CHECKING:
    from spacy.language import Language as Pipeline
    from spacy.tokens import Doc

    from intent_tracking.text.parsing_network import Parser
    from intent_tracking.text.segmentation import Segmenter

SHIPPED = Path(__file__).resolve().parent / "pipelines"
TEXTS_AT_ONCE = 512
_PARSER = "intent_tracking_parser"
_SEGMENTER = "intent_tracking_segmenter.v1"
_PLACEHOLDER = "|".join(map(re.escape, PLACEHOLDERS.values()))
# Sentence ends stand alone whatever the segmenter thinks, because sentences are told apart by them.
_RUNS = re.compile(rf"{_PLACEHOLDER}|\s+|[。！？]|(?:(?!{_PLACEHOLDER})[^\s。！？])+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PROBE = {"en": "I want red shoes.", "zh": "我想买红色的鞋。"}


class LinguisticsError(Exception):
    """A pipeline cannot be had or does not do what is asked of it; the message says what to set."""


@dataclass(frozen=True)
class Token:
    """A word of a text: `text[start:end]` of the analysed text, its universal POS tag and its place in the tree.

    `head` is the index of its head among the tokens, -1 for a root: a text of several sentences has several.
    """

    text: str
    start: int
    end: int
    tag: str
    head: int
    relation: str


@dataclass(frozen=True)
class Analysis:
    """A text with its tokens in order; whitespace is in none."""

    text: str
    tokens: tuple[Token, ...]


class Linguistics:
    """A loaded pipeline of one language; see `load_linguistics`."""

    def __init__(self, pipeline: Pipeline, language: Language, name: str) -> None:
        self.language, self.name, self._pipeline = language, name, pipeline

    def words(self, texts: Iterable[str]) -> list[list[tuple[int, int]]]:
        """The characters [start, end) of the words of each text alone: segmentation without tags and trees."""
        docs = self._pipeline.tokenizer.pipe(_SURROGATE.sub("\ufffd", text) for text in texts)
        return [[(token.idx, token.idx + len(token)) for token in doc if not token.is_space] for doc in docs]

    def analyse(self, texts: Iterable[str]) -> list[Analysis]:
        """One analysis a text, in order; `text[token.start:token.end] == token.text` always holds.

        Give many texts in one call: they go through the network by equal length.
        """
        found: list[Analysis] = []
        remaining = iter(texts)
        while part := list(islice(remaining, TEXTS_AT_ONCE)):
            # spaCy keeps strings as UTF-8, which has no lone surrogates; one character stands for one, so offsets stay.
            docs = self._pipeline.tokenizer.pipe([_SURROGATE.sub("\ufffd", text) for text in part])
            analysed = self._pipeline.pipe(docs, batch_size=TEXTS_AT_ONCE)
            found += [_analysis(text, doc) for text, doc in zip(part, analysed, strict=True)]
        return found


@cache
def load_linguistics(language: Language, spec: str | None = None) -> Linguistics:
    """The pipeline of `language`: an installed spaCy package or a folder named by `spec`, else the one shipped here.

    A folder is read by spaCy, which unpacks msgpack, JSON and arrays and calls only functions that installed packages
    have registered; nothing in it is run as code. An installed package is code, as any package. A pipeline is loaded
    once.

    Raises:
        LinguisticsError: spaCy, the pipeline or the encoder that it reads is not installed, or the pipeline is of
            another language, cannot be read, or has no tagger or no parser.
    """
    try:
        import spacy
    except ImportError as error:
        raise LinguisticsError("spaCy is not installed; pip install 'intent-tracking[language]'") from error
    _register()
    source = SHIPPED / language if spec is None else Path(spec).expanduser()
    name = f"shipped {language}" if spec is None else spec
    if spec is not None and not source.is_dir() and not spacy.util.is_package(spec):
        raise LinguisticsError(
            f"pipeline {spec!r}: neither an installed spaCy package nor a folder; install or train it"
        )
    try:
        pipeline = spacy.load(source if source.is_dir() or spec is None else name, exclude=["ner", "lemmatizer"])
    except (OSError, ValueError, KeyError) as error:
        raise LinguisticsError(f"pipeline {source}: cannot be loaded by spaCy {spacy.__version__}: {error}") from error
    if pipeline.lang != language:
        raise LinguisticsError(f"pipeline {name}: its language is {pipeline.lang}, {language} was asked for")
    probe = pipeline(_PROBE[language])
    for annotation, missing in (("POS", "universal POS tags"), ("DEP", "dependency trees")):
        if not probe.has_annotation(annotation):
            raise LinguisticsError(f"pipeline {name}: sets no {missing}; name one with a tagger and a parser")
    return Linguistics(pipeline, language, name)


def write_pipeline(folder: Path, language: Language, parser: Parser, segmenter: Segmenter | None) -> None:
    """Write a spaCy pipeline of our networks into `folder`; Chinese takes a `segmenter`, English has spaCy's rules."""
    import spacy
    from spacy.symbols import ORTH

    _register()
    if segmenter is None:
        pipeline = spacy.blank(language)
        for placeholder in PLACEHOLDERS.values():
            pipeline.tokenizer.add_special_case(placeholder, [{ORTH: placeholder}])
    else:
        pipeline = spacy.blank(language, config={"nlp": {"tokenizer": {"@tokenizers": _SEGMENTER}}})
        pipeline.tokenizer.segmenter = segmenter
    pipeline.add_pipe("sentencizer")
    pipeline.add_pipe(_PARSER).parser = parser
    pipeline.meta.update(name="intent_tracking", license="CC BY-SA 4.0", description="See card.json.")
    pipeline.to_disk(folder, exclude=["vocab"])


def parser_folder(pipeline: Path) -> Path:
    """Where `write_pipeline` puts the parser: what `Parser.load` reads."""
    return pipeline / _PARSER


@cache
def _register() -> None:
    from spacy.language import Language as SpacyLanguage
    from spacy.util import registry

    SpacyLanguage.factory(
        _PARSER, assigns=["token.pos", "token.head", "token.dep"], func=lambda nlp, name: _ParserComponent()
    )
    registry.tokenizers(_SEGMENTER, func=lambda: lambda nlp: _ChineseTokenizer(nlp.vocab))


class _ParserComponent:
    """A spaCy component around our parser."""

    parser: Parser

    def __call__(self, doc: Doc) -> Doc:
        return next(self.pipe([doc]))

    def pipe(self, docs: Iterable[Doc], batch_size: int = TEXTS_AT_ONCE) -> Iterator[Doc]:
        remaining = iter(docs)
        while part := list(islice(remaining, batch_size)):
            sentences = [_sentences(doc) for doc in part]
            parsed = iter(self.parser.parse([[token.text for token in one] for each in sentences for one in each]))
            for doc, each in zip(part, sentences, strict=True):
                _annotate(doc, each, list(islice(parsed, len(each))))
                yield doc

    def to_disk(self, path: Path, exclude: Sequence[str] = ()) -> None:
        self.parser.save(path)

    def from_disk(self, path: Path, exclude: Sequence[str] = ()) -> _ParserComponent:
        from intent_tracking.text.parsing_network import Parser

        self.parser = Parser.load(path)
        return self


class _ChineseTokenizer:
    """A spaCy tokenizer around our segmenter; whitespace, placeholders and the segmenter's words."""

    segmenter: Segmenter

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab

    def __call__(self, text: str) -> Doc:
        return next(self.pipe([text]))

    def pipe(self, texts: Iterable[str], batch_size: int = TEXTS_AT_ONCE) -> Iterator[Doc]:
        remaining = iter(texts)
        while part := list(islice(remaining, batch_size)):
            runs = [_RUNS.findall(text) for text in part]
            plain = [run for each in runs for run in each if not _kept_whole(run)]
            words = iter(self.segmenter.words(plain))
            for each in runs:
                yield self._doc([[run] if _kept_whole(run) else next(words) for run in each])

    def _doc(self, runs: list[list[str]]) -> Doc:
        from spacy.tokens import Doc

        words: list[str] = []
        spaces: list[bool] = []
        for run in runs:
            if run[0].isspace() and words and run[0][0] == " ":
                spaces[-1] = True
                run = [run[0][1:]] if run[0][1:] else []
            words += run
            spaces += [False] * len(run)
        return Doc(self._vocab, words=words, spaces=spaces)

    def to_disk(self, path: Path, exclude: Sequence[str] = ()) -> None:
        self.segmenter.save(path)

    def from_disk(self, path: Path, exclude: Sequence[str] = ()) -> _ChineseTokenizer:
        from intent_tracking.text.segmentation import Segmenter

        self.segmenter = Segmenter.load(path)
        return self


def _kept_whole(run: str) -> bool:
    return run[0].isspace() or run in "。！？" or (run[0] == "<" and run in PLACEHOLDERS.values())


def _sentences(doc: Doc) -> list[list[Any]]:
    """The tokens of each sentence without whitespace, long ones cut."""
    from intent_tracking.text.parsing_network import LONGEST_SENTENCE

    found: list[list[Any]] = []
    for sentence in doc.sents:
        tokens = [token for token in sentence if not token.is_space]
        found += [tokens[at : at + LONGEST_SENTENCE] for at in range(0, len(tokens), LONGEST_SENTENCE)]
    return found


def _annotate(doc: Doc, sentences: Sequence[Sequence[Any]], parsed: Sequence[Any]) -> None:
    """Tags and trees into `doc`; whitespace hangs on the token before it, as in spaCy's own pipelines."""
    import numpy as np
    from spacy.attrs import DEP, HEAD, POS

    strings = doc.vocab.strings
    values = np.zeros((len(doc), 3), dtype=np.int64)
    values[:, 1] = np.int64(strings.add("dep"))
    values[1:, 2] = -1
    for index, token in enumerate(doc):
        if token.is_space:
            values[index, 0] = strings["SPACE"]
    for tokens, tree in zip(sentences, parsed, strict=True):
        for token, tag, head, relation in zip(tokens, tree.tags, tree.heads, tree.relations, strict=True):
            target = token.i if head < 0 else tokens[head].i
            values[token.i] = (strings[tag], np.uint64(strings.add(relation)).astype(np.int64), target - token.i)
    doc.from_array([POS, DEP, HEAD], values.astype(np.uint64))


def _analysis(text: str, doc: Doc) -> Analysis:
    words = [token for token in doc if not token.is_space]
    place = {token.i: number for number, token in enumerate(words)}
    tokens = []
    for token in words:
        head = token.head
        while head.is_space and head.head.i != head.i:
            head = head.head
        root = head.i == token.i or head.is_space
        tokens.append(
            Token(
                text=text[token.idx : token.idx + len(token)],
                start=token.idx,
                end=token.idx + len(token),
                tag=token.pos_ or "X",
                head=-1 if root else place[head.i],
                relation="root" if root else token.dep_,
            )
        )
    return Analysis(text, tuple(tokens))
