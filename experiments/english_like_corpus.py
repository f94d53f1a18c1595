"""A deterministic English-like text of exactly one million bytes, for machines without internet.

    python -m experiments.english_like_corpus OUT.txt

A small grammar over the word lists below generates the text. A 32-bit generator in integer
arithmetic drives it, so that every platform and Python version writes the same bytes (``SHA256``
pins them). The text has structure at several ranges, so that better language models get better
scores: spelling (invented names), word endings and agreement inside a sentence, and names and
topics that recur within a paragraph. It is data for demonstrations: its val_bpb values can only be
compared with each other.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

SIZE_BYTES = 1_000_000
SHA256 = "2462ca7e44d6cbb54af7f287d1652a36fdbd54a292a475f1939e4f3fc65bfccd"
SEED = 20_240_229


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The order matters: earlier words are drawn more often (see ``Generator.pick``).
NOUNS = _words(
    "day house river man woman child road night door field garden letter stone tree window "
    "hand voice table horse boat bridge winter summer village market friend story lamp fire wind "
    "shadow teacher baker sailor farmer doctor kitchen candle ladder basket wheel harbour forest "
    "valley tower bell clock mirror carpet button thread needle hammer barrel cellar orchard "
    "meadow pigeon kettle blanket lantern chimney ribbon parcel pocket corner cousin neighbour "
    "widow captain soldier painter miller shepherd traveller stranger mountain cloud island "
    "anchor engine journal pencil question answer promise secret bargain quarrel festival"
)
VERBS = _words(
    "walk call look wait open turn follow remember answer carry watch listen reach pass visit "
    "help ask want need start finish gather paint mend plant climb cross measure borrow return "
    "wander whisper polish discover deliver examine repair welcome"
)
LINKING = _words("seemed looked felt remained became was was was")
ADJECTIVES = _words(
    "old small quiet long cold warm dark bright empty green heavy narrow gentle broken distant "
    "patient honest foolish silver wooden hollow crooked bitter sudden careful curious ancient "
    "golden lonely cheerful weary clever stubborn splendid ordinary"
)
ADVERB_PHRASES = (
    "slowly",
    "again",
    "quietly",
    "at once",
    "together",
    "in silence",
    "for a while",
    "without a word",
    "in a hurry",
    "carefully",
    "very early",
    "as before",
)
PREPOSITIONS = _words("in near behind under beside across above beyond towards")
TIMES = (
    "in the morning",
    "that evening",
    "after the rain",
    "before dawn",
    "on the third day",
    "at last",
    "once more",
    "when the bell rang",
    "in those years",
    "by candlelight",
)
CONNECTIVES = ("and", "but", "so", "for", "while", "until", "because", "although")
SAYINGS = (
    "there is no hurry",
    "nobody came back",
    "it was never mine",
    "we shall see",
    "the rest is easy",
    "I have heard it before",
    "you may keep it",
    "that is all I know",
)
ONSETS = _words("b br c cl d dr f g gr h j k l m n p r s st t th tr v w")
NUCLEI = _words("a e i o u ai ea io ou")
CODAS = _words("n r l s m nd rt ck th st ll w x")
PRONOUNS = (("he", "him", "his"), ("she", "her", "her"))


class Generator:
    """Writes paragraphs of the grammar; all randomness comes from one xorshift32 state."""

    def __init__(self, seed: int) -> None:
        self._state = seed
        # Every verb in the list is regular and follows one of three spelling rules.
        self._past = {verb: self._past_tense(verb) for verb in VERBS}

    def below(self, bound: int) -> int:
        """Return an integer in [0, bound). Its modulo bias is harmless, and the same everywhere."""
        state = self._state
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        self._state = state
        return (state >> 3) % bound

    def pick(self, words: Sequence[str]) -> str:
        """Choose a word by the smaller of two draws, so that earlier words are more frequent."""
        return words[min(self.below(len(words)), self.below(len(words)))]

    def name(self) -> str:
        """Invent a name of two or three syllables."""
        syllables = [
            self.pick(ONSETS) + self.pick(NUCLEI) for _ in range(1 if self.below(3) else 2)
        ]
        return ("".join(syllables) + self.pick(ONSETS) + "a" + self.pick(CODAS)).capitalize()

    def noun_phrase(self, topic: Sequence[str]) -> str:
        """Return an article, sometimes an adjective, and a noun, half the time from the topic."""
        noun = topic[self.below(len(topic))] if self.below(2) else self.pick(NOUNS)
        words = [self.pick(ADJECTIVES), noun] if self.below(3) == 0 else [noun]
        article = ("the", "the", "a", "every", "his", "her")[self.below(6)]
        if article == "a" and words[0][0] in "aeiou":
            article = "an"
        return " ".join([article, *words])

    def clause(self, people: Sequence[tuple[str, int]], topic: Sequence[str]) -> str:
        """Return a clause in the past tense, without a capital letter and a full stop."""
        name, gender = people[self.below(len(people))]
        subject_form, object_form, possessive = PRONOUNS[gender]
        subject = (name, name, subject_form)[self.below(3)]
        verb = self._past[self.pick(VERBS)]
        kind = self.below(8)
        if kind == 0:
            return f"{self.noun_phrase(topic)} {self.pick(LINKING)} {self.pick(ADJECTIVES)}"
        if kind == 1:
            return f"{subject} {self.pick(LINKING)} {self.pick(ADJECTIVES)}"
        if kind == 2:
            return f"{self.noun_phrase(topic)} {verb} {object_form}"
        if kind == 3:
            return f"{subject} {verb} {possessive} {self.pick(topic)} {self.pick(ADVERB_PHRASES)}"
        place = f"{self.pick(PREPOSITIONS)} {self.noun_phrase(topic)}"
        if kind == 4:
            return f"{subject} {verb} {place}"
        tail = place if self.below(2) else self.pick(ADVERB_PHRASES)
        return f"{subject} {verb} {self.noun_phrase(topic)} {tail}"

    def sentence(self, people: Sequence[tuple[str, int]], topic: Sequence[str]) -> str:
        """Return one or two clauses, or a spoken line, with a capital letter and a full stop."""
        kind = self.below(10)
        text = self.clause(people, topic)
        if kind == 0:
            saying = self.pick(SAYINGS)
            speaker = people[self.below(len(people))][0]
            return f'"{saying[0].upper()}{saying[1:]}," said {speaker}.'
        if kind <= 2:
            text = f"{self.pick(TIMES)}, {text}"
        elif kind <= 5:
            text = f"{text}, {self.pick(CONNECTIVES)} {self.clause(people, topic)}"
        return f"{text[0].upper()}{text[1:]}."

    def paragraph(self) -> str:
        """Return four to nine sentences about the same two or three people and four topic words."""
        people = [(self.name(), self.below(2)) for _ in range(2 + self.below(2))]
        topic = [self.pick(NOUNS) for _ in range(4)]
        return " ".join(self.sentence(people, topic) for _ in range(4 + self.below(6)))

    @staticmethod
    def _past_tense(verb: str) -> str:
        if verb.endswith("e"):
            return verb + "d"
        if verb.endswith("y"):
            return verb[:-1] + "ied"
        return verb + "ed"


def generate() -> bytes:
    """Return the corpus: ``SIZE_BYTES`` bytes of ASCII, equal on every platform."""
    generator = Generator(SEED)
    paragraphs: list[str] = []
    size = 0
    while size < SIZE_BYTES:
        paragraphs.append(generator.paragraph() + "\n\n")
        size += len(paragraphs[-1])
    return "".join(paragraphs).encode("ascii")[:SIZE_BYTES]


def main() -> None:
    """Write the corpus to the file named on the command line and print its hash."""
    parser = argparse.ArgumentParser(description="Write the English-like demonstration corpus.")
    parser.add_argument("out", type=Path, help="file to write")
    out: Path = parser.parse_args().out
    data = generate()
    out.write_bytes(data)
    print(f"{out}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
