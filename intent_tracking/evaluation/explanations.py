"""An explanation for people: as JSON, as a highlighted text in HTML, as a picture."""

from __future__ import annotations

from bisect import bisect_right
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from intent_tracking.settings import Device
from intent_tracking.tables import atomic_write_text, require_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from intent_tracking.modeling.explaining import Attribution, Explanation
    from intent_tracking.modeling.prediction import Prediction

_FOR: Final = (37, 99, 168)
_AGAINST: Final = (192, 57, 43)


def explain_command(
    model: Path,
    text: str,
    *,
    scene: str | None = None,
    intent: str | None = None,
    html: Path | None = None,
    picture: Path | None = None,
    device: Device = "auto",
) -> dict[str, Any]:
    """Explain the answer to one text; write it as an HTML page and as a PNG where asked for.

    `scene` is that of the text; None: as `scene_for` has it.

    Returns:
        JSON-ready; offsets of `words` count in `text` as it was given. A text that is out of scope is explained by the
        best label all the same: what is familiar about it is nothing that a word says.

    Raises:
        ArtifactError: `model` is not a whole, unchanged artifact.
        OSError: `html` or `picture` cannot be written; nothing was loaded then.
        ValueError: the model does not know `intent`, or neither it nor the contract knows `scene`.
    """
    from intent_tracking.evaluation.predict import scene_for
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.sessions.render import free_text_with_offsets, render_utterance

    for target in (html, picture):
        if target is not None:
            require_writable(target)
    predictor = IntentPredictor.load(model, device)
    scene = scene_for(scene, predictor.scenes)
    shown = render_utterance(text, scene)
    explanation = predictor.explain(shown, intent)
    answer = predictor.predict([shown])[0]
    if html is not None:
        atomic_write_text(html, as_html(explanation, answer))
    if picture is not None:
        draw(picture, explanation, answer)
    back = free_text_with_offsets(text).map_span.inverted()
    words = [(*back(word.start, word.end), word.weight) for word in explanation.words]
    return {
        "text": text,
        "scene": scene,
        "intent": explanation.intent,
        "probability": round(explanation.probability, 6),
        "out_of_scope": answer.out_of_scope,
        "words": [
            {"text": text[start:end], "start": start, "end": end, "weight": round(weight, 6)}
            for start, end, weight in words
            if start < end
        ],
        "behaviour": [{"text": part.text, "weight": round(part.weight, 6)} for part in explanation.behaviour],
        "method": explanation.method,
        "model_version": predictor.version,
    }


def _headline(explanation: Explanation, answer: Prediction | None) -> list[str]:
    """What is explained, in two parts where it is not what the model answers."""
    explained = f"{explanation.intent} ({explanation.probability:.0%})"
    if answer is None or not answer.out_of_scope:
        return [explained]
    best = answer.intents[0].name == explanation.intent
    return [f"out of scope; explained by the {'best label' if best else 'label asked for'}:", explained]


def _rows(explanation: Explanation) -> list[tuple[str, Sequence[Attribution]]]:
    rows = [("said", explanation.words), ("where, and done before", explanation.behaviour)]
    return [(name, parts) for name, parts in rows if parts]


def _strength(explanation: Explanation, weight: float) -> float:
    """0 to 1, against the strongest part."""
    strongest = max((abs(part.weight) for _, parts in _rows(explanation) for part in parts), default=0.0)
    return abs(weight) / strongest if strongest else 0.0


def _gaps(parts: Sequence[Attribution]) -> list[str]:
    """What stood in front of each part: a space, or nothing as between ideographs."""
    ends = [0, *(part.end for part in parts)]
    return [
        " " if part.start > end and place else "" for place, (part, end) in enumerate(zip(parts, ends, strict=False))
    ]


def as_html(explanation: Explanation, answer: Prediction | None = None) -> str:
    """One self-contained page: blue speaks for the intent, red against it, the deeper the more.

    With the `answer` of the model, it says where that rejects the text.
    """
    blocks = []
    for name, parts in _rows(explanation):
        marked = []
        for part, gap in zip(parts, _gaps(parts), strict=True):
            colour = ",".join(map(str, _FOR if part.weight > 0 else _AGAINST))
            shade = 0.75 * _strength(explanation, part.weight)
            marked.append(
                f'{gap}<mark style="background:rgba({colour},{shade:.2f})" title="{part.weight:+.3f}">'
                f"{escape(part.text)}</mark>"
            )
        blocks.append(f"<p><small>{name}</small><br>{''.join(marked)}</p>")
    title = " ".join(_headline(explanation, answer))
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8"><title>'
        f"{escape(title)}</title><style>body{{font:18px/1.9 system-ui,sans-serif;max-width:44em;margin:2em auto;"
        "color:#1f2933;overflow-wrap:anywhere}mark{color:inherit;padding:.1em .12em;border-radius:.2em}"
        "small{color:#7b8794}</style></head>\n"
        f"<body><h3>{escape(title)}</h3>\n{chr(10).join(blocks)}\n"
        f"<p><small>Blue speaks for the intent, red against it. {escape(explanation.method)}</small></p>"
        "</body></html>\n"
    )


def draw(path: Path, explanation: Explanation, answer: Prediction | None = None) -> None:
    """The highlighted text as a PNG; lines are broken where they end.

    With the `answer` of the model, it says where that rejects the text.

    Raises:
        ValueError: `path` does not end in `.png`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from intent_tracking.evaluation import style

    if path.suffix != ".png":
        raise ValueError(f"{path}: the picture is a PNG; end its name in .png")
    width, line, margin = 8.0, 0.36, 0.25
    with rc_context({"font.family": list(style.families())}):
        probe = style.figure(width, 1)
        FigureCanvasAgg(probe)  # a figure measures text by its canvas
        placed: list[tuple[float, int, str, Attribution | None]] = []
        titles = _title_lines(_headline(explanation, answer), width - 2 * margin)
        row = len(titles)
        for name, parts in _rows(explanation):
            placed.append((margin, row, name, None))
            row, x = row + 1, margin
            for part, gap in zip(parts, _gaps(parts), strict=True):
                x += 0.09 if gap else 0.0
                for shown in _lines(part.text, width - 2 * margin):
                    taken = _inches(probe, shown)
                    if x + taken > width - margin and x > margin:
                        row, x = row + 1, margin
                    placed.append((x, row, shown, part))
                    x += taken + 0.03
            row += 1
        height = (row + 0.6) * line + margin
        picture = style.figure(width, height)
        picture.set_layout_engine("none")
        for on, title in enumerate(titles):
            at = margin / width, 1 - (on + 0.6) * line / height
            picture.text(*at, title, fontsize=_TITLE_FONT, fontweight="bold", color=style.INK)
        for x, on, shown, owner in placed:
            at = x / width, 1 - (on + 0.9) * line / height
            if owner is None:
                picture.text(*at, shown, fontsize=8.5, color=style.QUIET)
                continue
            colour = tuple(value / 255 for value in (_FOR if owner.weight > 0 else _AGAINST))
            shade = 0.75 * _strength(explanation, owner.weight)
            box = {"facecolor": (*colour, shade), "edgecolor": "none", "boxstyle": "round,pad=0.12"}
            picture.text(*at, shown, fontsize=_FONT, color=style.INK, bbox=box)
        style.save(picture, path.parent, path.stem)


_FONT: Final = 12
_TITLE_FONT: Final = 13
# Bold letters are so much wider than those that `style.width_of` measures.
_BOLD: Final = 1.2


def _title_lines(parts: list[str], inches: float) -> list[str]:
    """The parts of a headline as they are drawn: in one line where they fit, each within `inches`."""
    from intent_tracking.evaluation import style

    whole = style.drawable(" ".join(parts))
    if style.width_of(whole, _TITLE_FONT) * _BOLD <= inches:
        return [whole]
    return [style.names_within([part], _TITLE_FONT, inches / _BOLD)[0] for part in parts]


def _lines(text: str, inches: float) -> Iterator[str]:
    """A part of a text as it is drawn, broken where it is wider than a line: at a space, or within a long word."""
    from intent_tracking.evaluation import style

    while style.width_of(style.drawable(text), _FONT) > inches and len(text) > 1:
        fits = bisect_right(
            range(1, len(text)), inches, key=lambda count: style.width_of(style.drawable(text[:count]), _FONT)
        )
        fits = max(fits, 1)
        end = text.rfind(" ", 0, fits + 1) + 1 or fits
        yield style.drawable(text[:end].rstrip())
        text = text[end:]
    yield style.drawable(text)


def _inches(figure: Any, text: str) -> float:
    """Width of `text` as it will be drawn."""
    drawn = figure.text(0, 0, text, fontsize=_FONT)
    width: float = drawn.get_window_extent().width / figure.dpi
    drawn.remove()
    return width
