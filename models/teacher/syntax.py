"""Syntax in prompts that programs read: to be carried over letter by letter.

Weights `(word:1.2)`, emphasis `((word))` and `[word]`, alternation `{a|b}`, `BREAK`, `<lora:x:1>`,
flags such as `--ar 16:9` (also where a word processor has made a long dash of theirs), and text in
quotes, double or single.  Rewriters are known to damage these.
"""

import re

PROTECTED = re.compile(
    r"<[^<>\n]{1,120}>"  # <lora:name:0.8>, <embedding>
    r"|\([^()\n]{0,300}:\s*-?\d*\.?\d+\s*\)"  # (word:1.2)
    r"|\(\([^\n]{0,300}?\)\)+"  # ((word))
    r"|\[[^\[\]\n]{0,300}\]"  # [word], [from:to:0.5]
    r"|\{[^{}\n]{0,300}\}"  # {a|b}
    r"|\bBREAK\b"
    r"|(?<!\S)--[a-zA-Z]+(?:[ =][\d:.]+)?"  # --ar 16:9
    r"|(?<!\S)[–—]{1,2}[a-zA-Z]+[ =][\d:.]+"  # —ar 16:9; "—a pause" is none
    r"|\"[^\"\n]{0,300}\"|“[^”\n]{0,300}”"  # "text to be drawn"
    # 'text': neither the apostrophe of "the dogs' house" nor those of "rock 'n' roll"
    r"|(?<!\w)'[^'\n]{2,80}'(?!\w)|(?<!\w)‘[^’\n]{2,80}’(?!\w)"
)
QUOTES = "\"“”'‘’"


def protected_syntax(prompt: str) -> list[str]:
    """Every piece of protected syntax of a prompt, in order."""
    return PROTECTED.findall(prompt)
