"""Text of DICOM attributes: bytes to characters by Specific Character Set (0008,0005).

Sources: PS3.3 C.12.1.1.2 (Defined Terms), PS3.5 6.1 (character repertoires, code extensions) and
PS3.5 6.2 (person names). Bytes are always decoded before values are split: in GB18030, GBK and
ISO 2022 IR 87/159 the byte 5CH of a backslash is also a part of characters.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

ESCAPE: Final = b"\x1b"
REPLACEMENT: Final = "\ufffd"

PERSON_NAME_DELIMITERS: Final = "\\^="
VALUE_DELIMITERS: Final = "\\"
NO_DELIMITERS: Final = ""
"""ST, LT, UT: a backslash is text."""


class Repertoire(NamedTuple):
    """A coded character set that code extensions can designate."""

    name: str
    codec: str
    legal: re.Pattern[bytes]
    """What the bytes of a run must look like; the codecs let more through."""
    prefix: bytes = b""
    """What the codec needs before the bytes of a run."""


_G1_96: Final = re.compile(rb"[\xa0-\xff]+")
_G1_94: Final = re.compile(rb"[\xa1-\xdf]+")
_G1_94_94: Final = re.compile(rb"[\xa1-\xfe]+")
_G0_94_94: Final = re.compile(rb"(?:[\x21-\x7e]{2})+")

_G1: Final = {
    repertoire.name: repertoire
    for repertoire in (
        Repertoire("IR 13", "shift_jis", _G1_94),
        Repertoire("IR 100", "iso8859-1", _G1_96),
        Repertoire("IR 101", "iso8859-2", _G1_96),
        Repertoire("IR 109", "iso8859-3", _G1_96),
        Repertoire("IR 110", "iso8859-4", _G1_96),
        Repertoire("IR 126", "iso8859-7", _G1_96),
        Repertoire("IR 127", "iso8859-6", _G1_96),
        Repertoire("IR 138", "iso8859-8", _G1_96),
        Repertoire("IR 144", "iso8859-5", _G1_96),
        Repertoire("IR 148", "iso8859-9", _G1_96),
        Repertoire("IR 166", "iso8859-11", _G1_96),
        Repertoire("IR 203", "iso8859-15", _G1_96),
        Repertoire("IR 149", "euc_kr", _G1_94_94),
        # Not the codec gb2312: it maps A1A4H (the dot in names such as 买买提·艾力) and A1AAH to
        # other characters than GBK and GB18030, and one name must not become two.
        Repertoire("IR 58", "gb18030", _G1_94_94),
    )
}
_ASCII: Final = Repertoire("IR 6", "ascii", re.compile(rb"[\x20-\x7e]+"))
# 5CH and 7EH of the Japanese set are yen and overline, but 5CH is the value delimiter all the same
# (PS3.5 6.1.2.3), so both sets are read as ASCII.
_ROMAJI: Final = _ASCII._replace(name="IR 13")
_KANJI: Final = Repertoire("IR 87", "iso2022_jp", _G0_94_94, b"\x1b$B")
_KANJI_1978: Final = Repertoire("IR 87", "iso2022_jp", _G0_94_94, b"\x1b$@")
_SUPPLEMENTARY_KANJI: Final = Repertoire("IR 159", "iso2022_jp_2", _G0_94_94, b"\x1b$(D")

_G0_ESCAPES: Final = {
    b"\x1b(B": _ASCII,
    b"\x1b(J": _ROMAJI,
    b"\x1b$B": _KANJI,
    b"\x1b$@": _KANJI_1978,
    b"\x1b$(D": _SUPPLEMENTARY_KANJI,
}
_G1_ESCAPES: Final = {
    b"\x1b)I": _G1["IR 13"],
    b"\x1b-A": _G1["IR 100"],
    b"\x1b-B": _G1["IR 101"],
    b"\x1b-C": _G1["IR 109"],
    b"\x1b-D": _G1["IR 110"],
    b"\x1b-F": _G1["IR 126"],
    b"\x1b-G": _G1["IR 127"],
    b"\x1b-H": _G1["IR 138"],
    b"\x1b-L": _G1["IR 144"],
    b"\x1b-M": _G1["IR 148"],
    b"\x1b-T": _G1["IR 166"],
    b"\x1b-b": _G1["IR 203"],
    b"\x1b$)A": _G1["IR 58"],
    b"\x1b$)C": _G1["IR 149"],
}
_G0_NAMES: Final = frozenset(repertoire.name for repertoire in _G0_ESCAPES.values())

_STAND_ALONE: Final = {"ISO_IR 192": "utf-8", "GB18030": "gb18030", "GBK": "gb18030"}
"""Sets without code extensions (PS3.5 6.1.2.5.4); GB18030 holds all of GBK at the same codes."""

_ALIASES: Final = {
    "UTF-8": "ISO_IR 192",
    "UTF8": "ISO_IR 192",
    "ISO 2022 GBK": "GBK",
    "ISO 2022 GB18030": "GB18030",
    "GB2312": "GBK",
}
"""Terms that are not Defined Terms, but whose meaning is beyond doubt."""

_TERM: Final = re.compile(r"ISO(?:[ _-]?2022)?[ _-]?IR[ _-]?(\d+)")
_DEFINED_TERM: Final = re.compile(r"ISO_IR \d+|ISO 2022 IR \d+")

_TOKEN: Final = re.compile(
    rb"(?P<escape>\x1b(?:\$?[()-]|\$)?[\x40-\x7e])"
    rb"|(?P<control>[\x00-\x1f\x7f])"
    rb"|(?P<high>[\x80-\xff]+)"
    rb"|(?P<low>[\x20-\x7e]+)"
)


class CharacterSet(NamedTuple):
    """The meaning of a value of Specific Character Set."""

    name: str
    """Defined Terms, for findings."""
    stand_alone: str | None
    """Codec of the whole value; None: ISO 2022."""
    g1: Repertoire | None
    """What the bytes from 80H mean at the start and after each delimiter."""
    fallback: Repertoire | None
    """What they mean when no escape sequence has said so, though one should have."""
    declared: frozenset[str]
    problem: str | None
    """What is wrong with the Specific Character Set itself."""


class Decoded(NamedTuple):
    """Text, and what was wrong with its bytes."""

    text: str
    problem: str | None


class PersonName(NamedTuple):
    """The component groups of a person name (PS3.5 6.2.1)."""

    alphabetic: str
    ideographic: str
    phonetic: str
    problem: str | None

    def __str__(self) -> str:
        return f"{self.alphabetic}={self.ideographic}={self.phonetic}".rstrip("=")


def character_set_terms(value: bytes) -> tuple[str, ...]:
    """The terms of a value of Specific Character Set (0008,0005), padding removed."""
    terms = value.decode("ascii", "replace").split("\\")
    return tuple(term.strip(" \0") for term in terms)


@lru_cache(maxsize=256)
def resolve_character_set(terms: tuple[str, ...]) -> CharacterSet:
    """What `terms` mean; misspelt terms are understood, unknown ones left out, both a problem."""
    problem = None
    names: list[str] = []
    for number, term in enumerate(terms or ("",)):
        name = _canonical(term, first=number == 0)
        if name is None or (term and term not in _STAND_ALONE and not _DEFINED_TERM.match(term)):
            problem = "not a Defined Term of PS3.3 C.12.1.1.2"
        if name is not None:
            names.append(name)
    alone = next((name for name in names if name in _STAND_ALONE), None)
    if alone is not None:
        if len(names) > 1:
            problem = f"{alone} does not allow a second character set"
        return CharacterSet(alone, _STAND_ALONE[alone], None, None, frozenset(), problem)
    if not names:
        names = ["IR 6"]
    g1 = [_G1[name] for name in names if name in _G1]
    return CharacterSet(
        name="\\".join(f"ISO 2022 {name}" if len(names) > 1 else f"ISO_{name}" for name in names),
        stand_alone=None,
        g1=_G1.get(names[0]),
        fallback=g1[0] if g1 else None,
        declared=frozenset(names) | {"IR 6"},
        problem=problem,
    )


def _canonical(term: str, *, first: bool) -> str | None:
    """``IR <number>`` or a stand-alone term; None when unknown."""
    if not term:
        return "IR 6" if first else None
    term = term.upper()
    term = _ALIASES.get(term, term)
    if term in _STAND_ALONE:
        return term
    match = _TERM.fullmatch(term)
    if match is None:
        return None
    if match[1] == "192":
        return "ISO_IR 192"
    # ISO-IR 14 is what the Defined Term of ISO-IR 13 puts into G0
    name = "IR 13" if match[1] == "14" else f"IR {match[1]}"
    return name if name in _G1 or name in _G0_NAMES else None


def decode(data: bytes, charset: CharacterSet, delimiters: str = VALUE_DELIMITERS) -> Decoded:
    r"""The text of a whole value field, its delimiters included.

    Args:
        data: the bytes, trailing padding included or not.
        charset: from `resolve_character_set`.
        delimiters: the characters after which the character sets of value 1 of Specific Character
            Set hold again (PS3.5 6.1.2.5.3); control characters reset as well.

    Returns:
        The text without trailing spaces and NULs; bytes that have no meaning are U+FFFD, bytes from
        80H in the default repertoire are read as Latin-1, both with a problem. Never raises.
    """
    # padding can be told from text before decoding: in no set is 00H or 20H the end of a character
    data = data.rstrip(b" \0")
    if data.isascii() and ESCAPE not in data:
        decoded = Decoded(data.decode("ascii"), None)
    elif charset.stand_alone is None:
        decoded = _decode_iso_2022(data, charset, delimiters)
    else:
        decoded = _decode_stand_alone(data, charset, charset.stand_alone)
    if "\0" in decoded.text:
        text = decoded.text.replace("\0", REPLACEMENT)
        return Decoded(text, decoded.problem or "NUL inside the value")
    return decoded


def _misfit(charset: CharacterSet) -> str:
    return f"bytes do not fit the character set {charset.name}"


def _decode_stand_alone(data: bytes, charset: CharacterSet, codec: str) -> Decoded:
    problem = None
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        text = data.decode(codec, "replace")
        problem = _misfit(charset)
    if "\x1b" in text:
        text = text.replace("\x1b", REPLACEMENT)
        problem = problem or f"escape sequence, which {charset.name} does not allow"
    return Decoded(text, problem)


class _CodeExtensions:
    """Follows the escape sequences of one value field (PS3.5 6.1.2.5)."""

    def __init__(self, charset: CharacterSet, delimiters: str) -> None:
        self._charset = charset
        self._delimiters = delimiters
        self._g0 = _ASCII
        self._g1 = charset.g1
        self._fallback = charset.fallback
        self.problem: str | None = None

    def _note(self, problem: str) -> None:
        self.problem = self.problem or problem

    def _reset(self) -> None:
        self._g0, self._g1 = _ASCII, self._charset.g1

    def escape(self, sequence: bytes) -> str:
        if sequence in _G0_ESCAPES:
            self._g0 = repertoire = _G0_ESCAPES[sequence]
        elif sequence in _G1_ESCAPES:
            self._g1 = self._fallback = repertoire = _G1_ESCAPES[sequence]
        else:
            self._note("unknown escape sequence")
            return REPLACEMENT
        if repertoire.name not in self._charset.declared:
            self._note(
                f"escape sequence of ISO 2022 {repertoire.name}, "
                "which SpecificCharacterSet does not name"
            )
        return ""

    def control(self, character: bytes) -> str:
        self._reset()
        if character == ESCAPE:
            self._note("unknown escape sequence")
            return REPLACEMENT
        return character.decode("ascii")

    def high(self, run: bytes) -> str:
        repertoire = self._g1
        if repertoire is None:
            if self._fallback is None:
                self._note(_misfit(self._charset))
                return run.decode("iso8859-1")
            repertoire = self._fallback
            self._note(f"no escape sequence before bytes of ISO 2022 {repertoire.name}")
        return self._run(run, repertoire)

    def low(self, run: bytes) -> str:
        text = self._run(run, self._g0)
        # inside a two-byte set the byte of a delimiter is half of a character
        if not self._g0.prefix and any(delimiter in text for delimiter in self._delimiters):
            self._reset()
        return text

    def _run(self, run: bytes, repertoire: Repertoire) -> str:
        encoded = repertoire.prefix + run
        if repertoire.legal.fullmatch(run) is None:
            self._note(_misfit(self._charset))
        try:
            return encoded.decode(repertoire.codec)
        except UnicodeDecodeError:
            self._note(_misfit(self._charset))
            return encoded.decode(repertoire.codec, "replace")


def _decode_iso_2022(data: bytes, charset: CharacterSet, delimiters: str) -> Decoded:
    state = _CodeExtensions(charset, delimiters)
    read = {
        "escape": state.escape,
        "control": state.control,
        "high": state.high,
        "low": state.low,
    }
    text = "".join(read[match.lastgroup or ""](match.group()) for match in _TOKEN.finditer(data))
    return Decoded(text, state.problem)


def person_name(text: str) -> PersonName:
    """The component groups of one decoded person name.

    Trailing spaces, NULs and empty components say nothing (PS3.5 6.2.1) and are removed, so that a
    name is the same however a modality has padded it.
    """
    groups = [group.strip(" \0").rstrip("^ \0") for group in text.split("=")]
    alphabetic, ideographic, phonetic, *rest = *groups, "", "", ""
    problem = "more than three component groups, the rest left out" if any(rest) else None
    return PersonName(alphabetic, ideographic, phonetic, problem)
