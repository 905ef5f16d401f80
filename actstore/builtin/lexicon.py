"""The words of the embedded language and their inflection.

Owns the lemmas, their classes (number, gender, animacy, what a verb may govern) and the
spelling rules of English inflection. Entries are written as `lemma` or, when irregular, as
`lemma/form/form`; everything else is derived.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# Nouns: lemma or lemma/plural.
_PERSON_M = """boy man/men king prince uncle brother father son grandfather nephew husband waiter actor
    monk wizard gentleman/gentlemen fisherman/fishermen policeman/policemen groom duke grandson landlord
    salesman/salesmen fireman/firemen"""
_PERSON_F = """girl woman/women queen princess aunt sister mother daughter grandmother niece wife/wives
    waitress actress nun witch lady bride duchess granddaughter landlady saleswoman/saleswomen
    policewoman/policewomen heroine stewardess"""
_PERSON_N = """child/children person/people doctor teacher farmer baker painter singer dancer driver pilot
    sailor soldier lawyer judge student nurse writer poet gardener hunter miner tailor guard clerk
    carpenter plumber butcher librarian scientist chemist engineer mechanic banker merchant thief/thieves
    spy neighbor friend cousin guest stranger tourist customer dentist surgeon barber cook editor
    reporter senator mayor captain pirate juggler drummer violinist pianist skier runner swimmer rider
    champion coach referee tenant potter weaver shepherd blacksmith sculptor beekeeper"""
_ANIMAL = """dog cat horse cow pig goat sheep/sheep mouse/mice rat rabbit fox wolf/wolves bear lion tiger
    elephant monkey giraffe zebra camel donkey duck goose/geese swan eagle owl crow parrot pigeon hen
    fish/fish shark whale dolphin turtle frog snake lizard spider bee ant butterfly snail otter beaver
    squirrel badger hedgehog raccoon"""
_OBJECT = """box basket bottle cup plate bowl knife/knives spoon fork lamp candle mirror clock watch key
    chair table bed shelf/shelves desk drawer pillow blanket curtain carpet ladder hammer saw drill rope
    bucket broom brush pen pencil ruler bag suitcase wallet umbrella hat coat scarf/scarves glove boot
    shoe dress shirt jacket ring necklace bracelet coin toy doll ball kite drum guitar violin piano
    trumpet flute camera radio phone computer engine wheel bicycle wagon boat canoe sled tent axe
    shovel rake stone brick statue painting vase flag helmet shield sword tooth/teeth leaf/leaves
    telescope hook button zipper"""
_FOOD = """apple pear plum cherry peach lemon orange banana melon grape carrot potato/potatoes
    tomato/tomatoes onion pepper cabbage mushroom bean sandwich pie cake cookie biscuit pancake muffin
    loaf/loaves sausage egg pizza noodle salad soup stew pudding pretzel dumpling olive"""
_INFO = """letter book story poem song novel note report article message diary map recipe essay speech
    newspaper magazine play script joke riddle legend"""
_PLACE = """house castle school church hospital library museum theater restaurant bakery shop market
    station harbor bridge tower garden park forest farm barn stable cave valley village city island
    beach lake river mountain hill field meadow office factory hotel kitchen cellar attic palace temple
    prison cottage windmill lighthouse"""
_ABSTRACT = """idea plan rumor secret mistake problem answer question lesson dream promise theory"""

# Names. Every named person is also in the world of facts.
MALE_NAMES = """Adam Boris Carl David Edgar Felix George Harold Ivan Jacob Kevin Leon Martin Nathan Oscar
    Peter Quentin Robert Simon Thomas Ulrich Victor Walter Xavier Yusuf Zachary Albert Bruno Conrad
    Dominic""".split()
FEMALE_NAMES = """Alice Bertha Clara Diana Emma Fiona Grace Helen Irene Julia Karen Laura Maria Nina
    Olivia Paula Rachel Sarah Teresa Ursula Vera Wendy Yvonne Zelda Agnes Bianca Cecilia Dorothy Esther
    Frances""".split()
CITIES = """Marlow Denby Carfax Torvik Elmora Brisk Halden Oster Pellham Quarry Ravenna Selby Tilbury
    Umber Verdun Wexford Yarrow Zermatt Lowick Norden""".split()
RIVERS = """Aster Brenn Corrib Dunmow Esk Farrow Garnet Hollin Inver Juniper Kestrel Linnet Mersk Nettle
    Orwell Pikemere Quill Rushmere Severn Tamar""".split()

# Verbs: base, or base/past/participle; `+` doubles the last consonant.
_INTRANSITIVE = """sleep/slept/slept smile laugh cry run+/ran/run walk swim+/swam/swum dance sing/sang/sung
    jump arrive wait kneel/knelt/knelt sneeze cough yawn stumble whisper shout complain hesitate
    panic/panicked/panicked rest work travel suffer blush shiver snore limp wander giggle rejoice weep/wept/wept
    faint retire surrender gasp sigh tremble"""
_UNACCUSATIVE = """fall/fell/fallen vanish disappear appear shine/shone/shone rot+ float sink/sank/sunk
    crumble burn drift rise/rose/risen collapse"""
_TRANS_PERSON = """help admire visit meet/met/met follow greet praise blame trust invite warn thank
    recognize call teach/taught/taught catch/caught/caught forgive/forgave/forgiven interview insult
    hug+ kiss push accuse protect respect hate love see/saw/seen hear/heard/heard watch
    chase know/knew/known find/found/found bother annoy impress surprise remember hire envy tease
    rescue comfort ignore describe mention scare embarrass choose/chose/chosen"""
_TRANS_ANIMAL = """feed/fed/fed chase catch/caught/caught own ride/rode/ridden train see/saw/seen
    hear/heard/heard watch love fear buy/bought/bought sell/sold/sold find/found/found wash brush protect
    draw/drew/drawn raise bathe"""
_TRANS_OBJECT = """buy/bought/bought sell/sold/sold break/broke/broken repair paint carry lift drop+ hide/hid/hidden
    steal/stole/stolen lose/lost/lost find/found/found borrow clean polish throw/threw/thrown
    wear/wore/worn hold/held/held take/took/taken bring/brought/brought own want need use see/saw/seen
    touch move grab+ pack keep/kept/kept damage examine build/built/built admire draw/drew/drawn choose/chose/chosen"""
_TRANS_FOOD = """eat/ate/eaten cook bake taste chew swallow buy/bought/bought sell/sold/sold slice peel
    fry enjoy smell prepare devour want"""
_TRANS_INFO = """read/read/read write/wrote/written hear/heard/heard tell/told/told copy print translate
    finish forget+/forgot/forgotten memorize publish study send/sent/sent enjoy understand/understood/understood
    recite tear/tore/torn"""
_TRANS_PLACE = """visit leave/left/left reach enter clean paint see/saw/seen find/found/found
    build/built/built guard destroy cross explore photograph admire abandon"""
_TRANS_ABSTRACT = """discuss explain understand/understood/understood forget+/forgot/forgotten
    remember discover reject accept consider have/had/had share"""
_DITRANSITIVE = """give/gave/given show/showed/shown send/sent/sent offer hand lend/lent/lent sell/sold/sold"""
_CLAUSE = """say/said/said think/thought/thought believe know/knew/known claim hope notice assume
    suspect admit+ announce insist realize"""
_WONDER = """wonder ask know/knew/known remember forget+/forgot/forgotten discover"""
_CONTROL = """want try/tried/tried hope plan+ need refuse promise decide learn agree"""

_ADJ_ANIMATE = """tall short old young happy sad angry hungry tired clever brave lazy kind rude honest
    famous rich poor quiet loud gentle strong weak curious nervous proud shy lonely friendly cheerful
    stubborn polite careful careless calm jealous grumpy thoughtful generous loyal cruel wise foolish
    healthy sick thin elegant"""
_ADJ_THING = """big small large tiny heavy light red blue green yellow black white brown gray purple
    golden silver wooden broken dirty clean new old cheap expensive beautiful ugly strange ordinary
    round square flat smooth rough sharp dusty shiny empty full wet dry warm cold soft hard fragile
    rusty modern ancient narrow wide lost hidden"""
_ADJ_FOOD = """fresh sweet sour bitter salty spicy ripe rotten warm cold delicious stale juicy hot tasty"""
_ADJ_IDEA = """good bad important simple difficult strange new old famous clever dangerous boring useful"""
_ADJ_PLACE = """big small old new quiet crowded distant beautiful dark empty famous abandoned green
    peaceful windy sunny"""

MANNER = """slowly quickly quietly loudly carefully happily sadly angrily gently bravely politely calmly
    eagerly nervously proudly suddenly secretly patiently silently gladly""".split()
TIME_PAST = ["yesterday", "recently"]
FREQUENCY = ["often", "always", "usually", "rarely", "sometimes", "never"]
DEGREE = ["very", "quite", "really", "rather", "extremely"]
LOCATIVE = "near behind beside in inside outside under above around opposite".split()
NOUN_PREP = "near behind beside opposite".split()
MODALS = "will can must should might may could would".split()
NUMERALS = "two three four five six seven eight nine ten".split()
COLORS = "red blue green yellow black white brown gray purple orange".split()
SYLLABLES = """ba be bo da de du fa fi go gu ha hi ka ke ko la li lo ma mi mo na ne no pa pi po ra ri ro sa
    se so ta te ti va vi vo wa wi zo zu""".split()

_VOWELS = "aeiou"


def _add_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _add_ed(word: str, double: bool) -> str:
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ied"
    return word + word[-1] * double + "ed"


def _add_ing(word: str, double: bool) -> str:
    if word.endswith("ie"):
        return word[:-2] + "ying"
    if word.endswith("e") and not word.endswith(("ee", "oe", "ye")):
        return word[:-1] + "ing"
    if word.endswith("ic"):
        return word + "king"
    return word + word[-1] * double + "ing"


@dataclass(frozen=True, slots=True)
class Noun:
    """A common noun: `kind` is its selectional class, `gender` is m, f or n (none marked)."""

    lemma: str
    plural: str
    kind: str
    gender: str = "n"

    @property
    def regular(self) -> bool:
        return self.plural == _add_s(self.lemma)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb's forms; `frame` says what it governs."""

    lemma: str
    present: str
    past: str
    participle: str
    gerund: str
    frame: str

    @property
    def irregular_participle(self) -> bool:
        return self.participle != self.past


def _nouns(text: str, kind: str, gender: str = "n") -> list[Noun]:
    nouns = []
    for entry in text.split():
        lemma, _, plural = entry.partition("/")
        nouns.append(Noun(lemma, plural or _add_s(lemma), kind, gender))
    return nouns


def _verbs(text: str, frame: str) -> list[Verb]:
    verbs = []
    for entry in text.split():
        base, *irregular = entry.split("/")
        double = base.endswith("+")
        lemma = base.rstrip("+")
        past, participle = irregular or [_add_ed(lemma, double)] * 2
        present = "has" if lemma == "have" else _add_s(lemma)
        verbs.append(Verb(lemma, present, past, participle, _add_ing(lemma, double), frame))
    return verbs


NOUNS: dict[str, list[Noun]] = {
    "person": _nouns(_PERSON_M, "person", "m") + _nouns(_PERSON_F, "person", "f") + _nouns(_PERSON_N, "person"),
    "animal": _nouns(_ANIMAL, "animal"),
    "object": _nouns(_OBJECT, "object"),
    "food": _nouns(_FOOD, "food"),
    "info": _nouns(_INFO, "info"),
    "place": _nouns(_PLACE, "place"),
    "abstract": _nouns(_ABSTRACT, "abstract"),
}

TRANSITIVE: dict[str, list[Verb]] = {
    "person": _verbs(_TRANS_PERSON, "person"),
    "animal": _verbs(_TRANS_ANIMAL, "animal"),
    "object": _verbs(_TRANS_OBJECT, "object"),
    "food": _verbs(_TRANS_FOOD, "food"),
    "info": _verbs(_TRANS_INFO, "info"),
    "place": _verbs(_TRANS_PLACE, "place"),
    "abstract": _verbs(_TRANS_ABSTRACT, "abstract"),
}
VERBS: dict[str, list[Verb]] = {
    "intransitive": _verbs(_INTRANSITIVE, "intransitive"),
    "unaccusative": _verbs(_UNACCUSATIVE, "unaccusative"),
    "ditransitive": _verbs(_DITRANSITIVE, "ditransitive"),
    "clause": _verbs(_CLAUSE, "clause"),
    "wonder": _verbs(_WONDER, "wonder"),
    "control": _verbs(_CONTROL, "control"),
}
ADJECTIVES: dict[str, list[str]] = {
    "person": _ADJ_ANIMATE.split(),
    "animal": _ADJ_ANIMATE.split()[:24],
    "object": _ADJ_THING.split(),
    "food": _ADJ_FOOD.split(),
    "info": _ADJ_IDEA.split(),
    "abstract": _ADJ_IDEA.split(),
    "place": _ADJ_PLACE.split(),
}


def indefinite_article(word: str) -> str:
    """`a` or `an` before `word`, by its first sound (spelling, with the exceptions used here)."""
    if word.startswith(("use", "uni")):
        return "a"
    return "an" if word[0].lower() in _VOWELS or word.startswith("hon") else "a"


@cache
def lemmas() -> frozenset[tuple[str, str]]:
    """Every (lemma, class) of the open and closed classes, for counting the lexicon."""
    entries = {(noun.lemma, "NOUN") for nouns in NOUNS.values() for noun in nouns}
    for verbs in (*TRANSITIVE.values(), *VERBS.values()):
        entries |= {(verb.lemma, "VERB") for verb in verbs}
    entries |= {(word, "ADJ") for words in ADJECTIVES.values() for word in words}
    entries |= {(word, "PROPN") for word in (*MALE_NAMES, *FEMALE_NAMES, *CITIES, *RIVERS)}
    entries |= {(word, "ADV") for word in (*MANNER, *TIME_PAST, *FREQUENCY, *DEGREE)}
    entries |= {(word, "ADP") for word in (*LOCATIVE, *NOUN_PREP, "with", "from", "about", "by", "to", "as", "of", "on")}
    entries |= {(word, "NUM") for word in NUMERALS} | {(word, "AUX") for word in MODALS}
    return frozenset(entries)
