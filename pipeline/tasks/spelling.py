"""How labels are compared: the same characters, however they are encoded.

Case, white space of any kind and the two Unicode forms of an accented letter make no other label; nor do the two
apostrophes, of which the Unicode Standard names U+2019 as the preferred character for the one on the keyboard, U+0027.
Letters that only look alike are different.
"""

from unicodedata import normalize

APOSTROPHES = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'"})


def fold(text: str) -> str:
    """Return *text* in the spelling in which labels are compared."""
    return " ".join(normalize("NFC", normalize("NFC", text).casefold()).translate(APOSTROPHES).split())


def find_last(text: str, label: str) -> tuple[int, int] | None:
    """Return where *label*, in any of its spellings, last starts and stops in *text*."""
    # Each character is folded apart, and decomposed, so that it is known which of them a match consists of.
    pieces = [_piece(character) for character in text]
    wanted = "".join(map(_piece, label.strip()))
    position = "".join(pieces).rfind(wanted)
    if position < 0 or not wanted:
        return None
    owners = [index for index, piece in enumerate(pieces) for _ in piece]
    return owners[position], owners[position + len(wanted) - 1] + 1


def _piece(character: str) -> str:
    return " " if character.isspace() else normalize("NFD", character.casefold()).translate(APOSTROPHES)
