"""Words that a published prompt must not have.

The list is that of `better-profanity` (whole words and phrases, its own leet spellings), without
the words of it that ordinary picture prompts use ("hell", "organ", "rum", "sniper") and with a few
that it lacks.  Words are compared whole and hyphens join, so "cock-eyed", "Scunthorpe" and
"cockpit" are no hits.

Limits: a list of English words knows no context.  It misses insinuation, other languages and new
spellings, and it refuses some art history ("nude").  It is a first sieve for a published data set,
no moderation service; `blocked_words` adds words of one's own.
"""

import re
from collections.abc import Callable
from functools import cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# On the library's list, and harmless in pictures more often than not.  Whoever wants one of them
# refused puts it into `blocked_words`.
ORDINARY = _words(
    """
    arian aryan bastard bimbo bondage boner bust busty chink cipa cock cocks coon cow-girl
    cowgirl cowgirls crap crotch damn dick dink dinks dong doofus dopey drunk dummy dyke dykes
    enlargement erect extasy facial fanny fart fat feck fisted flange floozy foobar fubar gae
    gai ganja gay gays gey gigolo glans god gonad gonads gringo guido hebe hell hemp herp heroin
    hitler hiv hoar hoare hoer homey honky hooch hookah hooker hoor hooter hooters hore hump
    humped humping hussy inbred jackass jap jerk jerked junkie junky kill kinky kraut kum lech
    leper lesbians lez lmao loin loins lube lust lusting lusty mams masochist massa maxi menses
    menstruate menstruation meth moron muff murder mutha nad nads napalm nappy nazi nazism
    negro niggle nimrod ninny nob omg opiate opium oral orally organ ovary ovum ovums paddy
    pastie pasty pawn pcp pecker pee penetrate penetration perversion peyote phallic pimp pinko
    piss-off playboy pms pollock poop pot potty prick pricks prig pron prostitute prude punky
    puss puto queer queers quicky racy raunch rectal rectus reefer reich revue rum rump ruski
    sadism sadist sandbar scag scantily schizo screw screwed screwing scrud scum seaman seamen
    seduce sissy skag slave sleaze sleazy slope smut snatch sniper snuff souse soused spac spik
    spiks spunk steamy stoned strip stroke stupid suck sucked sucking tampon tawdry teat teets
    teste thrust thug tinkle titi toke toots tosser tramp transsexual trashy turd tush ugly
    undies unwed urinal urine uterus uzi valium viagra virgin vixen vodka vomit voyeur vulgar
    wad wang wedgie weed weenie weiner weirdo wench whitey whiz willies willy womb woody wop
    wtf xx yury len woose essohbee tit shag knob frigg homo sperm rimming fook spick terd teez
    sodom herpes klan duche kooch
    """
)
ALSO = _words(
    """
    nsfw topless lolicon loli lolis shotacon pornographic pornstar upskirt creampie beheading
    dismembered zoophilia incestuous
    """
)
# Letters and digits, joined by hyphens, apostrophes or the marks of leet spellings.
_TOKEN = re.compile(r"[^\W_]+(?:[-'’!@$+*][^\W_]+)*")


@cache
def _list() -> frozenset[str]:
    from importlib.resources import files

    text = (files("better_profanity") / "profanity_wordlist.txt").read_text(encoding="utf-8")
    lines = [line.casefold().strip() for line in text.splitlines()]
    # Spellings that end in a mark ("sh!+") would be cut to a harmless beginning: left out.
    words = {_phrase(line) for line in lines if line[-1:].isalnum()}
    return frozenset((words - ORDINARY) | ALSO) - {""}


def _phrase(text: str) -> str:
    return " ".join(_TOKEN.findall(text.casefold()))


@cache
def unsafe_words(
    blocked: tuple[str, ...] = (), library: bool = True
) -> Callable[[str], str | None]:
    """A function of a prompt that names the first unsafe word or phrase in it, or None.

    `blocked` are words or phrases of one's own, compared whole and without regard to case;
    `library` switches the built-in list on.
    """
    words = {_phrase(word) for word in blocked} - {""}
    words |= _list() if library else set()
    openings: dict[str, list[str]] = {}  # first word of a phrase → the phrases
    for word in words:
        openings.setdefault(word.split(" ")[0], []).append(word)
    known = frozenset(openings)

    def first_unsafe(text: str) -> str | None:
        tokens = _TOKEN.findall(text.casefold())
        if known.isdisjoint(tokens):
            return None
        for start, token in enumerate(tokens):
            for phrase in openings.get(token, ()):
                if phrase.split(" ") == tokens[start : start + phrase.count(" ") + 1]:
                    return phrase
        return None

    return first_unsafe
