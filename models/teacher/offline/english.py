"""Small English: articles, plurals, and casing that fits a place in a sentence.

Leaves out anything a prompt editor does not need (verbs, agreement).
"""

import re

# Vowel letters that sound like consonants, and the other way round.
_CONSONANT_SOUND = re.compile(r"^(uni([^nm]|$)|use|usu|euro|one\b|once|ufo|u\b|utah|ukulele)", re.I)
_VOWEL_SOUND = re.compile(
    r"^(hour|honest|honou?r|heir|8|11\b|18\b|[fhlmnrsx][- ]|x-ray|ssd|sci)", re.I
)
_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "mouse": "mice", "goose": "geese",
    "person": "people", "knife": "knives", "wolf": "wolves", "elf": "elves", "leaf": "leaves",
    "fish": "fish", "sheep": "sheep", "deer": "deer", "moose": "moose", "shelf": "shelves",
    "cactus": "cacti", "foot": "feet", "tooth": "teeth", "spacecraft": "spacecraft",
}  # fmt: skip


def indefinite(phrase: str) -> str:
    """ "a" or "an", whichever the first word of `phrase` takes."""
    word = phrase.lstrip("\"'“‘(").strip()
    if _VOWEL_SOUND.match(word) and not word.lower().startswith("sci"):
        return "an"
    if _CONSONANT_SOUND.match(word):
        return "a"
    return "an" if word[:1].lower() in ("a", "e", "i", "o", "u") else "a"


def a(phrase: str) -> str:
    """`phrase` with its indefinite article."""
    return f"{indefinite(phrase)} {phrase}"


def plural(phrase: str) -> str:
    """The plural of a noun phrase by its last word ("toy car" gives "toy cars")."""
    *before, noun = phrase.split(" ")
    lower = noun.lower()
    if lower in _IRREGULAR:
        many = _IRREGULAR[lower]
    elif lower.endswith("man") and lower != "human":
        many = noun[:-3] + "men"
    elif lower.endswith(("s", "x", "z", "ch", "sh")):
        many = noun + "es"
    elif lower.endswith("y") and lower[-2:-1] not in "aeiou":
        many = noun[:-1] + "ies"
    else:
        many = noun + "s"
    return " ".join([*before, many])


def fix_article(text: str, at: int) -> str:
    """`text` with the "a"/"an" that ends right before offset `at` agreeing with what follows."""
    match = re.search(r"\b(an?)( +)$", text[:at], re.IGNORECASE)
    if not match or not text[at:].strip():
        return text
    article = indefinite(text[at:])
    if match.group(1)[0].isupper():
        article = article.capitalize()
    return text[: match.start(1)] + article + match.group(2) + text[at:]


def capital(text: str) -> str:
    """`text` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]
