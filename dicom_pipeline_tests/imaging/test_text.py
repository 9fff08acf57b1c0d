"""Text comes out as its author wrote it, or with a problem; it never raises."""

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_charset_files

from dicom_pipeline.imaging.text import (
    NO_DELIMITERS,
    PERSON_NAME_DELIMITERS,
    VALUE_DELIMITERS,
    character_set_terms,
    decode,
    person_name,
    resolve_character_set,
)

ALL_TERMS = [
    "",
    "ISO_IR 6",
    *(f"ISO_IR {number}" for number in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)),
    *(
        f"ISO 2022 IR {number}"
        for number in (6, 13, 58, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166)
    ),
    "ISO_IR 192",
    "GB18030",
    "GBK",
    "nonsense",
]


def name_of(data: bytes, *terms: str):
    decoded = decode(data, resolve_character_set(terms), PERSON_NAME_DELIMITERS)
    return str(person_name(decoded.text)), decoded.problem


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("chrArab", "قباني^لنزار"),
        ("chrFren", "Buc^Jérôme"),
        ("chrGerm", "Äneas^Rüdiger"),
        ("chrGreek", "Διονυσιος"),
        ("chrH31", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrHbrw", "שרון^דבורה"),
        ("chrI2", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrJapMulti", "やまだ^たろう"),
        ("chrJapMultiExplicitIR6", "やまだ^たろう"),
        ("chrKoreanMulti", "김희중"),
        ("chrRuss", "Люкceмбypг"),
        ("chrX1", "Wang^XiaoDong=王^小東"),
        ("chrX2", "Wang^XiaoDong=王^小东"),
    ],
)
def test_the_names_of_ps3_5_and_of_pydicoms_files_are_read_as_published(file, expected):
    path = next(path for path in get_charset_files("*.dcm") if path.endswith(f"/{file}.dcm"))
    dataset = pydicom.dcmread(path)
    terms = dataset.SpecificCharacterSet
    terms = (terms,) if isinstance(terms, str) else tuple(terms)
    assert name_of(dataset.get_item("PatientName").value, *terms) == (expected, None)


@pytest.mark.parametrize(
    ("terms", "data"),
    [
        (("GB18030",), "Wang^XiaoDong=王^小东=".encode("gb18030")),
        (("GBK",), "Wang^XiaoDong=王^小东=".encode("gbk")),
        (("ISO_IR 192",), "Wang^XiaoDong=王^小东=".encode()),
        (
            ("", "ISO 2022 IR 58"),
            b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab=",
        ),
    ],
)
def test_one_chinese_name_is_one_name_in_every_encoding(terms, data):
    assert name_of(data, *terms) == ("Wang^XiaoDong=王^小东", None)


@pytest.mark.parametrize(
    ("terms", "data"),
    [
        (("GB18030",), b"\xc2\xf2\xa1\xa4\xb0\xac"),
        (("GBK",), b"\xc2\xf2\xa1\xa4\xb0\xac"),
        (("", "ISO 2022 IR 58"), b"\x1b$)A\xc2\xf2\xa1\xa4\xb0\xac"),
    ],
)
def test_the_dot_in_uyghur_names_is_the_same_in_every_chinese_set(terms, data):
    assert name_of(data, *terms) == ("买·艾", None)


def test_the_text_of_ps3_5_annex_k_with_an_escape_sequence_on_each_line():
    data = b"1) \x1b$)A\xb5\xda\xd2\xbb\xd0\xd0\r\n2) \x1b$)A\xb5\xda\xb6\xfe\xd0\xd0\r\n"
    charset = resolve_character_set(("", "ISO 2022 IR 58"))
    assert decode(data, charset, NO_DELIMITERS) == ("1) 第一行\r\n2) 第二行\r\n", None)


def test_supplementary_kanji_and_katakana_may_stand_beside_kanji():
    charset = resolve_character_set(("ISO 2022 IR 13", "ISO 2022 IR 87", "ISO 2022 IR 159"))
    data = b"\xd4\xcf \x1b$B;3\x1b$(D0!\x1b(J!"
    assert decode(data, charset) == ("ﾔﾏ 山丂!", None)


@pytest.mark.parametrize(
    ("terms", "data", "expected"),
    [
        # 5CH is the second byte of 昞 in GBK and of a character in ISO-IR 87
        (("GBK",), "昞\\b".encode("gbk"), ["昞", "b"]),
        (("GB18030",), "誠昞".encode("gb18030"), ["誠昞"]),
        (("", "ISO 2022 IR 87"), b"\x1b$B0\\\x1b(B\\b", ["移", "b"]),
    ],
)
def test_a_backslash_inside_a_character_parts_no_values(terms, data, expected):
    assert b"\\" in data
    assert decode(data, resolve_character_set(terms)).text.split("\\") == expected


@pytest.mark.parametrize("delimiter", ["^", "=", "\\"])
def test_after_a_delimiter_of_a_name_the_first_character_set_holds_again(delimiter):
    charset = resolve_character_set(("ISO 2022 IR 100", "ISO 2022 IR 144"))
    data = b"\x1b-L\xbb" + delimiter.encode() + b"\xe9"
    assert decode(data, charset, PERSON_NAME_DELIMITERS).text == f"Л{delimiter}é"


@pytest.mark.parametrize("control", ["\r", "\n", "\f", "\t"])
def test_after_a_line_or_page_the_first_character_set_holds_again(control):
    charset = resolve_character_set(("ISO 2022 IR 100", "ISO 2022 IR 144"))
    data = b"\x1b-L\xbb" + control.encode() + b"\xe9"
    assert decode(data, charset, NO_DELIMITERS).text == f"Л{control}é"


def test_in_text_of_one_value_a_backslash_resets_nothing():
    charset = resolve_character_set(("ISO 2022 IR 100", "ISO 2022 IR 144"))
    assert decode(b"\x1b-L\xbb\\\xbb", charset, NO_DELIMITERS).text == "Л\\Л"
    assert decode(b"\x1b-L\xbb\\\xbb", charset, VALUE_DELIMITERS).text == "Л\\»"


def test_a_missing_escape_sequence_is_filled_in_with_a_problem():
    text, problem = name_of(b"\x1b$)C\xb1\xe8^\xc8\xf1", "", "ISO 2022 IR 149")
    assert text == "김^희"
    assert problem == "no escape sequence before bytes of ISO 2022 IR 149"


def test_an_escape_sequence_that_was_not_announced_is_followed_with_a_problem():
    text, problem = name_of(b"\x1b$)A\xcd\xf5", "ISO_IR 100")
    assert text == "王"
    assert "IR 58, which SpecificCharacterSet does not name" in problem


@pytest.mark.parametrize("terms", [("ISO_IR 100",), ("ISO_IR 101",), ("ISO_IR 144",)])
def test_control_bytes_under_a_single_byte_set_are_a_problem(terms):
    _, problem = name_of("張".encode("gbk"), *terms)
    assert problem == f"bytes do not fit the character set {terms[0]}"


def test_bytes_outside_ascii_without_a_character_set_stay_latin_with_a_problem():
    assert name_of(b"M\xfcller") == ("Müller", "bytes do not fit the character set ISO_IR 6")


@pytest.mark.parametrize(
    ("terms", "data"),
    [
        (("ISO_IR 192",), b"a\xff\xfe"),
        (("GB18030",), b"a\xff"),
        (("ISO_IR 126",), b"a\xff"),
        (("", "ISO 2022 IR 149"), b"a\x1b$)C\xb1"),
        (("ISO_IR 192",), b"a\x1b$)C"),
        (("",), b"a\x1b[0m"),
        (("",), b"a\0b"),
    ],
)
def test_what_cannot_be_decoded_becomes_the_replacement_character_with_a_problem(terms, data):
    text, problem = decode(data, resolve_character_set(terms))
    assert text.startswith("a\ufffd")
    assert problem


@pytest.mark.parametrize(
    ("term", "meaning"),
    [
        ("ISO-IR 100", "ISO_IR 100"),
        ("ISO_IR_192", "ISO_IR 192"),
        ("UTF-8", "ISO_IR 192"),
        ("iso_ir 100", "ISO_IR 100"),
        ("nonsense", "ISO_IR 6"),
        ("ISO_IR 999", "ISO_IR 6"),
        ("ISO_IR 192\\ISO 2022 IR 87", "ISO_IR 192"),
    ],
)
def test_a_misspelt_character_set_is_understood_with_a_problem(term, meaning):
    charset = resolve_character_set(character_set_terms(term.encode()))
    assert charset.name == meaning
    assert charset.problem


@pytest.mark.parametrize("term", ALL_TERMS[:-1])
def test_every_defined_term_is_known(term):
    assert resolve_character_set((term,)).problem is None


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("Wang^XiaoDong=王^小东=", ("Wang^XiaoDong", "王^小东", "")),
        ("Doe^John^^^ ", ("Doe^John", "", "")),
        ("Doe^John \0= = ", ("Doe^John", "", "")),
        ("=山田", ("", "山田", "")),
        ("^^^^", ("", "", "")),
        ("", ("", "", "")),
    ],
)
def test_padding_and_empty_groups_are_no_part_of_a_name(text, groups):
    name = person_name(text)
    assert name[:3] == groups
    assert name.problem is None


def test_a_fourth_component_group_is_left_out_with_a_problem():
    assert person_name("a=b=c=d").problem


@given(
    st.binary(max_size=60),
    st.lists(st.sampled_from(ALL_TERMS), max_size=3),
    st.sampled_from([NO_DELIMITERS, VALUE_DELIMITERS, PERSON_NAME_DELIMITERS]),
)
def test_no_bytes_under_any_character_set_raise(data, terms, delimiters):
    text, _ = decode(data, resolve_character_set(tuple(terms)), delimiters)
    text.encode("utf-8")
    person_name(text)
    assert "\0" not in text


ESCAPES = [
    b"\x1b(B",
    b"\x1b(J",
    b"\x1b$B",
    b"\x1b$(D",
    b"\x1b$)A",
    b"\x1b$)C",
    b"\x1b-L",
    b"\x1b)I",
]


@given(
    st.lists(st.sampled_from(ESCAPES) | st.binary(max_size=6), max_size=8).map(b"".join),
    st.lists(st.sampled_from(ALL_TERMS), max_size=3),
)
def test_no_mixture_of_escape_sequences_raises_or_leaves_an_escape_in_the_text(data, terms):
    text, _ = decode(data, resolve_character_set(tuple(terms)), PERSON_NAME_DELIMITERS)
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("term", "codec"),
    [
        ("ISO_IR 192", "utf-8"),
        ("GB18030", "gb18030"),
        ("GBK", "gbk"),
        ("ISO_IR 100", "latin-1"),
        ("ISO_IR 101", "iso8859-2"),
        ("ISO_IR 109", "iso8859-3"),
        ("ISO_IR 110", "iso8859-4"),
        ("ISO_IR 126", "iso8859-7"),
        ("ISO_IR 127", "iso8859-6"),
        ("ISO_IR 138", "iso8859-8"),
        ("ISO_IR 144", "iso8859-5"),
        ("ISO_IR 148", "iso8859-9"),
        ("ISO_IR 166", "iso8859-11"),
        ("ISO_IR 203", "iso8859-15"),
    ],
)
@given(data=st.data())
def test_text_comes_back_from_its_encoding(term, codec, data):
    letters = st.characters(codec=codec, exclude_categories=("Cc", "Cs", "Co", "Cn"))
    text = data.draw(st.text(letters, max_size=20)).rstrip(" ")
    charset = resolve_character_set((term,))
    assert decode(text.encode(codec), charset, NO_DELIMITERS) == (text, None)


@given(
    st.text(
        st.characters(codec="euc_kr", exclude_categories=("Cc", "Cs"), exclude_characters="\u3164"),
        max_size=20,
    )
)
def test_korean_text_comes_back_from_code_extensions(text):
    text = text.rstrip(" ")
    data = b"\x1b$)C" + text.encode("euc_kr")
    charset = resolve_character_set(("", "ISO 2022 IR 149"))
    assert decode(data, charset, NO_DELIMITERS) == (text, None)


@given(st.text(st.sampled_from("山田太郎ぁやまだabc &圧亜腕"), max_size=20))
def test_japanese_text_comes_back_from_code_extensions(text):
    text = text.rstrip(" ")
    charset = resolve_character_set(("", "ISO 2022 IR 87"))
    assert decode(text.encode("iso2022_jp"), charset) == (text, None)
