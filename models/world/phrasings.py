"""How people ask for a change: templates for every kind of edit.

A template that starts with "!" is a whole sentence; the others are imperative clauses that
`models.world.edits` may join into compounds and wrap in politeness.  Fields: `{old}` and `{new}`
are noun phrases with their articles, `{the}` and `{other}` refer to what is there ("the red car"),
`{tag}`, `{colour}`, `{count}`, `{kinds}` are bare words, `{where}` and `{when}` phrases with their
preposition, `{bare}` the same without.  Leaves out any choosing.  Run nothing: this file is data.
"""

ADD_GROUP = (
    "add {new}", "put {new} next to {the}", "place {new} beside {the}", "include {new}",
    "add {new} to the scene", "add {new} to the picture", "put {new} in as well",
    "insert {new} beside {the}", "draw {new} there too", "show {new} as well",
    "give {the} some company: {new}", "throw in {new}", "also show {new} next to {the}",
    "!i want {new} in there too", "!there should be {new} too", "!needs {new} next to {the}",
    "!{the} should not be alone, add {new}", "!what about {new} beside {the}?",
    "!i'd love to see {new} too", "!and {new}", "!with {new}", "!plus {new}",
)  # fmt: skip
REMOVE_GROUP = (
    "remove {the}", "delete {the}", "take {the} out", "get rid of {the}", "take away {the}",
    "drop {the}", "erase {the}", "leave out {the}", "lose {the}", "keep only {other}",
    "show just {other}", "cut {the}", "remove {the} from the picture", "take {the} away",
    "!without {the}", "!no {bare} please", "!i don't want {the}", "!{the} has to go",
    "!only {other}, nothing else", "!i'd rather not see {the}", "!just {other}",
    "!{the} isn't needed", "!there should be no {bare}",
)  # fmt: skip
REPLACE_KIND = (
    "replace {the} with {new}", "turn {the} into {new}", "swap {the} for {new}",
    "change {the} to {new}", "make {the} {new} instead", "exchange {the} for {new}",
    "use {new} instead of {the}", "draw {new} instead of {the}", "substitute {new} for {the}",
    "show {new} where {the} is", "put {new} in place of {the}", "convert {the} into {new}",
    "!i want {new} instead of {the}", "!{new} instead of {the}", "!not {the} but {new}",
    "!{the} should be {new}", "!rather {new} than {the}", "!i'd prefer {new} over {the}",
)  # fmt: skip
PLACE = (
    "put it {where}", "show it {where}", "set it {where}", "move everything {where}",
    "let it be {where}", "move the scene to {bare}", "change the place to {bare}",
    "change the background to {bare}", "make the background {bare}", "set the scene {where}",
    "set the background to {bare}", "have it take place {where}", "put {the} {where}",
    "take {the} to {bare}", "use {bare} as the background", "change the setting to {bare}",
    "!i want it {where}", "!it should be {where}", "!what if it were {where}?", "!make it {where}",
    "!{where}, please", "!background should be {bare}", "!location: {bare}",
)  # fmt: skip
PLACE_GONE = (
    "remove the {bare}", "leave the place open", "drop the {bare}", "take out the {bare}",
    "get rid of the {bare} in the background", "forget the {bare}", "delete the {bare}",
    "!no {bare}", "!without the {bare}", "!not {where}", "!i don't need the {bare}",
)  # fmt: skip
COLOUR = (
    "make {the} {colour}", "change {the} to {colour}", "paint {the} {colour}",
    "color {the} {colour}", "turn {the} {colour}", "recolor {the} in {colour}",
    "change the color of {the} to {colour}", "give {the} the color {colour}",
    "colour {the} {colour}",
    "let {the} be {colour}", "set the color of {the} to {colour}", "use {colour} for {the}",
    "dye {the} {colour}", "show {the} in {colour}", "have {the} in {colour}",
    "!{the} should be {colour}", "!i want {the} {colour}", "!{the} in {colour}",
    "!could {the} be {colour}?", "!{colour} would look better on {the}", "!i like {colour} better",
)  # fmt: skip
COUNT = (
    "make it {new}", "change it to {new}", "show {new}", "draw {new} instead of one",
    "turn it into {new}", "have {new} there", "give me {new}", "use {new}", "let there be {new}",
    "show {new} instead", "make that {new}", "change the number to {new}",
    "!i want {new}", "!there should be {new}", "!{new} instead", "!should be {new}",
    "!not {old} but {new}", "!i'd like to see {new}", "!better {new}",
)  # fmt: skip
TIME = (
    "make it {bare}", "show it {when}", "set it {when}", "change the time to {bare}",
    "turn it into {bare}", "change the time of day to {bare}", "let it be {bare}",
    "make it look like {bare}", "change the light to {bare}", "render it {when}",
    "have it happen {when}", "move it to {bare}", "set the time to {bare}",
    "!i want it {when}", "!it should be {bare}", "!what would it look like {when}?",
    "!it should be {when}", "!{when} please", "!how about {bare}?", "!lighting: {bare}",
    "!i'd like it {when}", "!better {when}",
)  # fmt: skip
WEATHER = (
    "add {bare}", "make it {where}", "let there be {bare}", "show it {where}", "put it {where}",
    "add some {bare}", "set it {where}", "bring in {bare}", "give it {bare}", "have it {where}",
    "include {bare}", "!i want {bare}", "!there should be {bare}", "!with {bare}", "!some {bare}",
    "!how about {bare}?", "!weather: {bare}",
)  # fmt: skip
WEATHER_GONE = (
    "remove the {bare}", "stop the {bare}", "clear the weather, no {bare}", "take out the {bare}",
    "get rid of the {bare}", "drop the {bare}", "lose the {bare}", "take away the {bare}",
    "!no {bare}", "!without the {bare}", "!i don't like the {bare}", "!no more {bare}",
    "!there should be no {bare}",
)  # fmt: skip
FINISH = (
    "add {tag}", "give it {tag}", "use {tag}", "apply {tag}", "include {tag}", "work in {tag}",
    "render it with {tag}", "show it with {tag}", "draw it with {tag}", "bring in {tag}",
    "put in {tag}", "add some {tag}", "go for {tag}", "finish it with {tag}",
    "!i want {tag}", "!i'd like {tag}", "!with {tag}", "!needs {tag}", "!it needs {tag}",
    "!how about {tag}?", "!style: {tag}", "!more {tag}", "!{tag} please", "!it should have {tag}",
)  # fmt: skip
FINISH_ADJECTIVE = (
    "make it {tag}", "render it {tag}", "draw it {tag}", "!i want it {tag}", "!it should be {tag}",
    "!should look {tag}", "!{tag} please", "!i'd like it {tag}", "!style: {tag}",
)  # fmt: skip
FINISH_GONE = (
    "remove the {tag}", "drop the {tag}", "leave out the {tag}", "take out the {tag}",
    "do it without {tag}", "skip the {tag}", "get rid of the {tag}",
    "!no {tag}", "!without {tag}", "!i don't like the {tag}", "!the {tag} has to go",
)  # fmt: skip
FLAW_GONE = (
    "remove {tag}", "get rid of {tag}", "drop {tag}", "take out {tag}", "fix that it is {tag}",
    "leave out {tag}", "!no {tag}", "!not {tag}", "!i don't want it {tag}", "!don't make it {tag}",
    "!why {tag}? fix that", "!it must not be {tag}", "!stop it being {tag}",
)  # fmt: skip
SWAP_SIDES = (
    "put {the} on the left", "move {the} to the left of {other}", "swap {the} and {other}",
    "switch the sides of {other} and {the}", "place {the} left of {other}",
    "show {the} first, then {other}", "put {other} on the right", "move {other} to the right",
    "!{the} should be on the left", "!i want {the} on the left side",
    "!{other} belongs on the right of {the}",
)  # fmt: skip
BEAUTIFY = (
    "make it look better", "make it more beautiful", "improve the picture", "make it prettier",
    "make it nicer", "beautify it", "polish it", "make it look professional", "enhance it",
    "make it stunning", "give it more polish", "improve the quality", "make it look amazing",
    "make it pop", "upgrade the look", "turn it into something beautiful", "make it gorgeous",
    "make it more impressive", "make it look finished", "improve it", "make it a masterpiece",
    "make it worth hanging on a wall", "add some beauty", "make it less boring",
    "make it more appealing", "touch it up", "refine it", "take it to the next level",
    "make it something i would frame", "work on the look", "spruce it up", "make it shine",
    "!it looks boring, do something", "!i want it more beautiful", "!better please",
    "!just make it better", "!it could look nicer", "!more beautiful", "!needs more quality",
    "!this is too plain", "!surprise me with a better looking version", "!same but prettier",
    "!looks cheap, fix it", "!i'd like a prettier picture", "!higher quality",
)  # fmt: skip

# Around an imperative clause; most people just say it.
WRAPPERS = (
    "{}", "{}", "{}", "{}", "{}", "please {}", "{} please", "can you {}?", "could you {}?",
    "now {}", "i'd like you to {}", "would you {}?", "{}, please", "{}, thanks", "just {}",
)  # fmt: skip
FOLLOW_UP_WRAPPERS = (
    "{}", "{}", "now {}", "also {}", "and now {}", "next, {}", "then {}", "good. now {}",
    "nice, now {}", "ok, {}", "great, but {}", "one more thing: {}", "better. now {}",
)  # fmt: skip
COMPOUND_JOINS = (" and ", " and ", ", then ", ", ", "; ", " and also ", ", and ")

# Finishes by what people mean when they ask for them.
STYLE_FINISHES = ("fine detail", "crisp outlines", "vivid colors", "neon glow", "pastel tones")
LIGHTING_FINISHES = ("soft shadows", "gradient sky", "golden light", "dramatic clouds")
COMPOSITION_FINISHES = ("depth of field",)
