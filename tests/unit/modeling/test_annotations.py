from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from intent_tracking.modeling.annotations import Annotation, AnnotationError, read_annotations, read_labelled_csv
from intent_tracking.sessions.render import free_text

pytestmark = pytest.mark.unit


def _file(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_optional_columns_are_read_and_others_left_alone(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "id,text,intent,scene,language,slots\n"
        '1,"cancel order 4711",cancel,search,en,"[{""name"":""order_id"",""start"":13,""end"":17}]"\n'
        "2,退货,return,,,\n"
        "3,我要退货,return,,zh-CN,\n",
    )
    first, second, third = read_labelled_csv(path)
    assert (first.scene, first.language) == ("search", "en")
    assert first.slots is not None
    assert first.text[first.slots[0].start : first.slots[0].end] == "4711"
    assert (second.scene, second.language, second.slots) == ("customer_service", None, None)
    assert third.language == "zh"


def test_byte_order_mark_and_spaces_around_the_text_do_no_harm(tmp_path: Path) -> None:
    path = _file(
        tmp_path, '\ufefftext,intent,slots\n"  red coat ",find,"[{""name"":""colour"",""start"":2,""end"":5}]"\n'
    )
    [row] = read_labelled_csv(path)
    assert row.text == "red coat"
    assert row.slots is not None
    assert row.text[row.slots[0].start : row.slots[0].end] == "red"


@pytest.mark.parametrize(
    ("start", "end", "marked"), [(0, 4, ["red"]), (5, 10, ["coat"]), (0, 10, ["red coat"]), (0, 1, [])]
)
def test_blanks_around_a_text_are_no_part_of_its_slots(tmp_path: Path, start: int, end: int, marked: list[str]) -> None:
    # Cause: whoever marks by words takes the blank before them along, and the slot was left out without a word.
    slots = f'[{{""name"":""x"",""start"":{start},""end"":{end}}}]'
    [row] = read_labelled_csv(_file(tmp_path, f'text,intent,slots\n" red coat ",find,"{slots}"\n'))
    assert [row.text[slot.start : slot.end] for slot in row.slots or ()] == marked


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("utterance,intent\na,b\n", "line 1: column 'text' is missing"),
        ("", "line 1: column 'text' is missing"),
        ("text,intent\n", "has no rows"),
        ("text,intent\nhello,greet\n ,greet\n", "line 3, column text: is empty"),
        ("text,intent\nhello,\n", "line 2, column intent: is empty"),
        ("text,intent\nhello, | \n", "line 2, column intent: is empty"),
        ("text,intent\nhel\0lo,greet\n", "line 2, column text: holds a NUL byte"),
        ("text,intent\nhello\n", "line 2: has not as many cells"),
        ("text,intent\na, b,c\n", "line 2: has not as many cells"),
        ("text,intent,scene\na,b,The Kitchen\n", "line 2, column scene: scene 'The Kitchen': name it in small letters"),
        (
            'text,intent,slots\nabc,b,"[{""name"":""x"",""start"":0,""end"":2},{""name"":""y"",""start"":1,""end"":3}]"\n',
            "line 2, column slots: .*'y' at 1:3 overlaps 'x' at 0:2; mark each character once",
        ),
        ("text,intent,language\na,b,fr-CA\n", "line 2, column language: 'fr-CA'"),
        ("text,intent,intent\na,b,c\n", "line 1: column 'intent' stands there twice"),
        ("text,intent,slot\na,b,[]\n", "line 1: column 'slot' would not be read; name it slots"),
        ("text,intent,Langauge\na,b,en\n", "line 1: column 'Langauge' would not be read; name it language"),
        ('text,intent\na,b\n\n"c\nd\ne",\n', "line 4, column intent"),
        ('text,intent\na,b\n"c,d\ne,f\ng,h\n', "line 3: not readable as CSV: unexpected end of data; is a quote"),
        ("text,intent,slots\na,b,{oops\n", "line 2, column slots"),
        (
            'text,intent,slots\nabc,b,"[{""label"": ""x"", ""start"": 0, ""end"": 2}]"\n',
            r"line 2, column slots: 0\.name: Field required",
        ),
        ('text,intent\na,"b\nc"\n', "line 2, column intent: 'b.nc' has several lines"),
        (
            f"text,intent\na,b\n{'a' * 200_000},b\n",
            r"line 3: not readable as CSV: field larger than field limit \(131072\); is a quote there not closed\? "
            "If not, shorten the text: the model reads 2000 characters",
        ),
        ('text,intent,slots\na,b,"[{""name"":""x"",""start"":0,""end"":9}]"\n', "'x' ends at 9, the text at 1"),
        (
            'text,intent,slots\na,b,"[{""name"":""x"",""start"":1,""end"":1}]"\n',
            "line 2, column slots: .*must be larger",
        ),
    ],
)
def test_bad_files_name_line_column_and_remedy(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_labelled_csv(_file(tmp_path, content))


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    # More than a decoder reads at once: it would count the bytes of its last block.
    path.write_bytes(b"text,intent\n" + b"where is it,track\n" * 2_000 + "退货,return\n".encode("gbk"))
    with pytest.raises(AnnotationError, match=r"labels\.csv line 2002 is not UTF-8; save the file as UTF-8"):
        read_labelled_csv(path)


def test_annotations_in_another_encoding_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    line = '{"text":"退货","intent":"return","annotated_at":"2026-01-01T00:00:00Z"}\n'
    path.write_bytes(b"\xef\xbb\xbf" + line.encode())
    assert [found.text for found in read_annotations([path])] == ["退货"]
    path.write_bytes(line.encode() + line.encode("gbk"))
    with pytest.raises(AnnotationError, match=r"day\.jsonl line 2 is not UTF-8; save the file as UTF-8"):
        list(read_annotations([path]))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="is no file"):
        read_labelled_csv(tmp_path / "none.csv")


def test_annotation_without_a_target_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    path.write_text(
        '{"text":"hi","intent":"greet","annotated_at":"2026-01-01T00:00:00Z"}\n\n'
        '{"intent":"greet","annotated_at":"2026-01-01T00:00:00Z"}\n'
    )
    with pytest.raises(AnnotationError, match=r"day\.jsonl line 3.*give `event_id`"):
        list(read_annotations([path]))


def test_a_text_that_nobody_marked_is_not_one_without_slots(tmp_path: Path) -> None:
    """An empty cell was read as an empty list, so that whole columns of it taught that there is no key information."""
    rows = read_labelled_csv(_file(tmp_path, "text,intent,slots\nred coat,find,\nhello,greet,[]\n"))
    assert [row.slots for row in rows] == [None, ()]
    plain = read_labelled_csv(_file(tmp_path, "text,intent\nred coat,find\n"))
    assert plain[0].slots is None
    written = {"text": "hi", "intent": "greet", "annotated_at": "2026-01-01T00:00:00Z"}
    assert Annotation.model_validate(written).slots is None
    assert Annotation.model_validate({**written, "slots": []}).slots == ()


def test_a_shop_names_scenes_of_its_own(tmp_path: Path) -> None:
    """Labelled files took the scenes of the contract alone, while models, `predict` and `explain` knew any."""
    [row] = read_labelled_csv(_file(tmp_path, "text,intent,scene\nbook a seat,book,airline\n"))
    assert row.scene == "airline"
    written = {"text": "hi", "intent": "greet", "scene": "salon", "annotated_at": "2026-01-01T00:00:00Z"}
    assert Annotation.model_validate(written).scene == "salon"
    with pytest.raises(ValidationError, match="name it in small letters"):
        Annotation.model_validate({**written, "scene": "The Salon"})


def test_several_labels_are_written_in_one_way(tmp_path: Path) -> None:
    """`b|a` of an annotation stayed as it was, and no answer, which is `a|b`, could be equal to it."""
    written = {"text": "hi", "annotated_at": "2026-01-01T00:00:00Z"}
    given = ("b | a", "a|b|b", "oos|", " a ")
    wanted = ["a|b", "a|b", "oos", "a"]
    assert [Annotation.model_validate({**written, "intent": intent}).intent for intent in given] == wanted
    rows = read_labelled_csv(_file(tmp_path, "text,intent\n" + "".join(f"hi,{intent}\n" for intent in given)))
    assert [row.intent for row in rows] == wanted


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["text,intent", '"abc,a', "d,e"], "line 2: not readable as CSV: unexpected end of data"),
        (["text,intent", '"abc"d,a'], "line 2: not readable as CSV"),
        (['text,intent,"and', 'more"', '"abc,a'], "line 3: not readable as CSV"),
        (["text,intent", "a,b", "", "", '"abc,a'], "line 5: not readable as CSV"),
        (["text,intent", '"a', 'b",c', "", '"d', "e", 'f",'], "line 5, column intent: is empty"),
        (['"text', "intent"], "line 1: not readable as CSV"),
    ],
)
def test_errors_name_the_first_line_of_a_record(
    tmp_path: Path, mark: str, end: str, lines: list[str], message: str
) -> None:
    """What broke the first row was said to stand in the header, and after empty lines in the first of those."""
    path = tmp_path / "labels.csv"
    path.write_bytes((mark + end.join(lines)).encode())
    with pytest.raises(AnnotationError, match=message):
        read_labelled_csv(path)


@pytest.mark.parametrize("text", ["\u200b", " \u200b\u2060 ", "\ufeff\u3164", "\u00ad", " "])
def test_a_text_without_words_for_the_model_is_empty(tmp_path: Path, text: str) -> None:
    """Invisible characters are no blanks to `str.strip`: a message without words was trained as that label."""
    assert not free_text(text)
    with pytest.raises(AnnotationError, match="line 2, column text: is empty; remove the line or give the text"):
        read_labelled_csv(_file(tmp_path, f"text,intent\n{text},greet\n"))
    written = {"text": text, "intent": "greet", "annotated_at": "2026-01-01T00:00:00Z"}
    with pytest.raises(ValidationError, match="give `event_id`, `session_id` or `text`, one with words"):
        Annotation.model_validate(written)
    # A message that is not among the sessions is one of these words, if there are any.
    assert Annotation.model_validate({**written, "event_id": "m1"}).text is None


@pytest.mark.parametrize("text", ["?", "\U0001f44d\u200d", "退货", "13800138000", "<message>"])
def test_a_text_of_few_characters_is_not_empty(tmp_path: Path, text: str) -> None:
    assert free_text(text)
    assert read_labelled_csv(_file(tmp_path, f"text,intent\n{text},greet\n"))[0].text == text
    assert Annotation.model_validate({"text": text, "intent": "a", "annotated_at": "2026-01-01T00:00:00Z"}).text == text


_LINE = '{"text":"red coat","intent":"find","annotated_at":"2026-01-01T00:00:00Z",'


def _lines(tmp_path: Path, *fields: str) -> Path:
    path = tmp_path / "day.jsonl"
    path.write_text("".join(_LINE + more + "}\n" for more in fields), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("written", "language"), [("zh-CN", "zh"), ("en_GB", "en"), ("EN", "en"), (" zh ", "zh"), ("", None)]
)
def test_languages_and_scenes_are_written_alike_in_both_files(
    tmp_path: Path, written: str, language: str | None
) -> None:
    """A tag of a country and an empty scene, which a CSV may have, were refused in JSON lines."""
    path = _file(tmp_path, f"text,intent,language,scene\nred coat,find,{written},\nred coat,find,, salon \n")
    rows = read_labelled_csv(path)
    assert [(row.language, row.scene) for row in rows] == [(language, "customer_service"), (None, "salon")]
    lines = _lines(tmp_path, f'"language":"{written}","scene":""', '"language":null,"scene":" salon "')
    assert [(label.language, label.scene) for label in read_annotations([lines])] == [(language, None), (None, "salon")]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ('"slot":[]', "record: .*field 'slot' would not be read; name it slots, or less like it"),
        ('"Langauge":"en"', "record: .*field 'Langauge' would not be read; name it language"),
        ('"eventId":"m1"', "record: .*field 'eventId' would not be read; name it event_id"),
        ('"sesion_id":"s1"', "record: .*field 'sesion_id' would not be read; name it session_id"),
        ('"language":"fr-CA"', "language: .*'fr-CA' is no tag of en or zh"),
        ('"language":7', "language: Input should be"),
        ('"scene":"The Salon"', "scene: .*name it in small letters"),
    ],
)
def test_a_bad_field_of_json_lines_is_named_with_its_line(tmp_path: Path, field: str, message: str) -> None:
    """`slot` for `slots` was left alone like a field of somebody else, and the marks in it taught nothing."""
    with pytest.raises(AnnotationError, match=rf"day\.jsonl line 2, {message}"):
        list(read_annotations([_lines(tmp_path, '"slots":[]', field)]))


def test_a_misspelt_intent_is_named_instead_of_missed(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    path.write_text(_LINE.replace("intent", "intnet") + '"scene":"salon"}')
    with pytest.raises(AnnotationError, match=r"line 1, record: .*field 'intnet' would not be read; name it intent"):
        list(read_annotations([path]))


def test_fields_of_others_are_left_alone(tmp_path: Path) -> None:
    others = ("user_id", "session", "message_id", "event_kind", "annotated_by", "annotator", "source", "context", "id")
    fields = ",".join(f'"{name}":"x"' for name in others)
    # Beside the field itself, one that is like it is nobody's slip.
    [label, marked] = read_annotations([_lines(tmp_path, fields, '"slots":[],"slot":"first"')])
    assert (label.text, label.event_id, label.session_id, label.slots) == ("red coat", None, None, None)
    assert marked.slots == ()
