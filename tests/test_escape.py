"""Names from data do no harm where they are shown, and come back where programs read them."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.escape import (
    clean_html,
    csv_cell,
    escaped_json,
    markdown_code,
    markdown_text,
    name_of_cell,
    printable,
    printable_lines,
    write_csv,
)

HOSTILE = {
    "colour": "a\x1b[31mred",
    "title": "\x1b]0;PWNED\x07",
    "C1 control": "a\x9b31m",
    "bell": "\a",
    "backspaces": "good\b\b\b\bevil",
    "carriage return": "good\revil",
    "null": "a\0b",
    "delete": "a\x7fb",
    "right to left": "photo\u202egnp.exe",
    "isolate": "a\u2066b\u2069",
    "line separator": "a\u2028b",
    "byte order mark": "\ufeffa",
    "broken bytes": "caf\udce9",
}
# whatever a terminal might act on
ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_terminal_gets_no_control_characters(kind):
    for shown in (printable(HOSTILE[kind]), printable_lines(HOSTILE[kind])):
        assert not ACTIVE.search(shown)
        assert "\\" in shown, "it is shown as an escape, not dropped"


@given(st.text(st.characters(exclude_categories=[])))
def test_whatever_is_shown_can_be_printed(text):
    assert printable(text).isprintable()
    assert not ACTIVE.search(printable_lines(text))
    assert printable_lines(text).count("\n") == text.count("\n")


def test_ordinary_names_stay():
    for name in ("dog", "Löwe", "犬", "a b-c_d.png", "é", "🐈"):
        assert printable(name) == name
        assert markdown_text(name) == name
        assert csv_cell(name) == name
    assert printable_lines("a\n\tb") == "a\n\tb"


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_page_holds_no_control_characters(kind):
    page = clean_html(f"<p>\n{HOSTILE[kind]}\t</p>")
    assert not ACTIVE.search(page)
    assert page.startswith("<p>\n")
    page.encode("utf-8")


@pytest.mark.parametrize("kind", HOSTILE)
def test_json_is_escaped_and_means_the_same(kind):
    content = {HOSTILE[kind]: [HOSTILE[kind], "ü\\n"]}
    text = escaped_json(json.dumps(content, ensure_ascii=False))
    assert not ACTIVE.search(text)
    assert "ü" in text
    assert json.loads(text) == content


@given(st.text(st.characters(exclude_categories=[])))
def test_any_json_means_the_same(text):
    assert json.loads(escaped_json(json.dumps(text, indent=2, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(9)>", "<script>", "</td>", "&lt;b&gt;", "a|b", "`code`", "``",
        "*bold*", "_x_", "**", "[text](http://example.org)", "[a][b]", "![p](x)", "[ref]: http://x",
        "~~gone~~", "# title", "\\", "\\|", "a\n\n# b", "a\n| x |",
    ],
)  # fmt: skip
def test_markdown_shows_names_as_they_are(name):
    shown = markdown_text(name)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)[|`*~#]", shown)
    assert not re.search(r"[<>]", shown)
    assert not re.search(r"(?<!\\)\](?=[(\[:])", shown)
    meant = re.sub(r"\\(\W|_)", r"\1", shown)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        meant = meant.replace(entity, character)
    if "\n" not in name and "\\" not in name:
        assert meant == name


def test_markdown_leaves_words_readable():
    assert markdown_text("dense_units 0.8 [0.7, 0.9]") == "dense_units 0.8 [0.7, 0.9]"


@pytest.mark.parametrize("text", ["zoo list", "a`b", "`", "a``b`c", "``x", "a\x1b`"])
def test_a_code_span_ends_where_it_should(text):
    shown = markdown_code(text)
    fence = re.match("`+", shown)[0]
    inner = shown[len(fence) : -len(fence)]
    assert shown.endswith(fence)
    assert len(fence) not in {len(run) for run in re.findall("`+", inner)}
    assert inner.strip() == printable(text)


NAMES = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''", "'", "plain", "a,b", 'a"b',
    "a\nb", "a\\nb", "a\r\nb", " =1", "", "=cmd|' /C calc'!A0", "é", "\x1b[31m", "\x9b",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back_from_csv(name):
    file = io.StringIO(newline="")
    write_csv(file, [[csv_cell(name), "end"]])
    file.seek(0)
    rows = list(csv.reader(file))
    assert len(rows) == 1
    assert rows[0][0][:1] not in {"=", "+", "-", "@", "\t", "\r"}
    assert name_of_cell(rows[0][0]) == name


def test_different_names_stay_different_in_csv():
    cells = [csv_cell(name) for name in NAMES]
    assert len(set(cells)) == len(NAMES)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_comes_back_from_csv(name):
    file = io.StringIO(newline="")
    write_csv(file, [[csv_cell(name), "end"]])
    file.seek(0)
    assert [name_of_cell(row[0]) for row in csv.reader(file)] == [name]


def test_bytes_that_are_no_text_can_be_written():
    assert csv_cell("caf\udce9.png").encode() == b"caf\\udce9.png"
