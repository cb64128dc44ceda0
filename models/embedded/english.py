"""General prompt-like English by grammar, so that words outside the world tokenise and copy well.

People type "portrait of an old sailor, oil on canvas" into a model of twelve drawn things.  The
base language model should at least keep such words.  Leaves out meaning: nothing here is true of
any picture.  `sample_english(rng)` is all there is to call.
"""

import random


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return text.split("|")


NOUNS = _words(
    "astronaut dragon castle wizard robot knight forest temple lake bridge library garden river "
    "waterfall lighthouse train station cafe market village cathedral ruins throne crown sword "
    "shield mask mirror clock lantern candle book map ship submarine airplane bicycle motorcycle "
    "truck tractor wolf fox bear lion tiger elephant horse owl raven eagle whale dolphin shark "
    "octopus turtle frog butterfly spider dragonfly rabbit squirrel dog puppy cow sheep monkey "
    "penguin samurai warrior queen king princess pirate sailor fisherman farmer chef dancer "
    "musician guitar piano violin drum painter sculpture statue portrait landscape skyline harbor "
    "island beach volcano glacier canyon cave jungle swamp storm lightning rainbow aurora galaxy "
    "planet moon comet spacesuit spacecraft android cyborg machine engine factory laboratory "
    "skeleton ghost vampire witch angel demon goddess mermaid unicorn phoenix crystal diamond "
    "gold silver jewelry necklace ring dress armor cloak hood hat boots coffee tea cake pizza "
    "burger bread apple strawberry lemon orange pumpkin sunflower rose tulip lily orchid cactus "
    "palm oak pine leaf vine moss stone rock sand wave ocean cloud fog mist smoke fire flame "
    "ember woman man girl boy child grandmother soldier detective scientist teacher student "
    "doctor nurse window door room kitchen bedroom hallway staircase rooftop street alley sign "
    "poster logo icon sticker wallpaper pattern texture background foreground camera lens film "
    "magazine cover album comic sketch "
)
ADJECTIVES = _words(
    "ancient abandoned beautiful bright broken calm colorful cute cozy dark detailed dreamy "
    "elegant enormous epic ethereal fantastic floating foggy frozen futuristic giant gloomy "
    "glowing gothic happy haunted heroic huge intricate lonely lush magical majestic mechanical "
    "medieval metallic misty modern moody mysterious mystical old ornate peaceful realistic retro "
    "romantic rusty sad scary serene shiny silent sleepy small smiling soft steampunk strange "
    "surreal tall tiny translucent tropical vintage warm weathered wild wooden young angry brave "
    "clever crowded curious dusty fluffy hidden hungry infinite little narrow noble poor proud "
    "quiet rich round sharp simple "
)
COLOURS = _words(
    "red blue green yellow purple pink white black brown grey gray gold silver teal turquoise "
    "crimson emerald navy beige cyan magenta maroon "
)
VERBS = _words(
    "standing sitting walking running flying swimming dancing reading holding watching sleeping "
    "fighting playing eating riding floating climbing looking smiling singing waiting dreaming "
    "exploring "
)
PREPOSITIONS = _words("in on near under above behind beside inside over through across at ")
_SYLLABLES = _words(
    "ba be bo bra ca ce co cra da de do dra el en er fa fe fi ga ge gor ha hi is ja jo ka ke kor "
    "la le li lu ma me mi mo na ne ni nor o pa pe po qua ra re ri ro sa se shi sta ta te ti to "
    "tra u va ve vi vor wa we xi ya yo za ze zor "
)
STYLES = _phrases(
    "oil painting|watercolor|pencil sketch|digital art|concept art|matte painting|"
    "3d render|octane render|unreal engine|pixel art|low poly|line art|comic book style|"
    "anime style|art nouveau|art deco|impressionism|surrealism|cubism|pop art|ukiyo-e|"
    "charcoal drawing|studio photography|portrait photography|macro photography|"
    "isometric view|vector illustration|children's book illustration|stained glass|"
    "paper cutout|claymation|film noir|cyberpunk|vaporwave|baroque|minimalism"
)
TAGS = _phrases(
    "highly detailed|intricate|sharp focus|cinematic lighting|dramatic lighting|"
    "soft lighting|volumetric light|golden hour|rim light|backlit|8k|4k|hdr|"
    "trending on artstation|award winning|masterpiece|best quality|ultra realistic|"
    "hyperrealistic|photorealistic|bokeh|shallow depth of field|wide angle|close up|"
    "full body|from above|from below|symmetrical|centered|vibrant colors|muted colors|"
    "pastel palette|black and white|high contrast|low contrast|smooth|elegant|"
    "moody atmosphere|no text|film grain|35mm|50mm lens|f/1.8|long exposure|motion blur|"
    "beautiful composition|rule of thirds"
)


def sample_word(generator: random.Random) -> str:
    """An invented word or name, so that letters are seen in every order."""
    word = "".join(generator.choices(_SYLLABLES, k=generator.choice((2, 2, 3))))
    return word.capitalize() if generator.random() < 0.3 else word


def _thing(generator: random.Random) -> str:
    words = []
    if generator.random() < 0.5:
        words.append(generator.choice(ADJECTIVES))
    if generator.random() < 0.3:
        words.append(generator.choice(COLOURS))
    words.append(generator.choice(NOUNS) if generator.random() < 0.9 else sample_word(generator))
    phrase = " ".join(words)
    article = "an" if phrase[0].lower() in "aeiou" else "a"
    return f"{article} {phrase}" if generator.random() < 0.6 else phrase


def sample_english(generator: random.Random) -> str:
    """One prompt-like line, such as "a lonely robot reading near an old library, oil painting"."""
    words = [_thing(generator)]
    if generator.random() < 0.1:
        words.insert(0, generator.choice(("portrait of", "photo of", "a painting of", "view of")))
    if generator.random() < 0.4:
        words.append(generator.choice(VERBS))
    if generator.random() < 0.6:
        words += [generator.choice(PREPOSITIONS), _thing(generator)]
    if generator.random() < 0.2:
        words += ["and", _thing(generator)]
    tags = generator.sample(TAGS, generator.choice((0, 0, 1, 2, 3)))
    if generator.random() < 0.4:
        tags.insert(0, generator.choice(STYLES))
    if generator.random() < 0.08:
        tags.append(f"by {sample_word(generator).capitalize()} {sample_word(generator)}")
    if generator.random() < 0.05:
        tags.append(f"({generator.choice(TAGS)}:1.{generator.randrange(1, 6)})")
    return ", ".join([" ".join(words), *(tag.strip() for tag in tags)])
