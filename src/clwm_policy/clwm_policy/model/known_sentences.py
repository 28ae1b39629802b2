"""How far a sentence is from those that a policy was trained with: what it does not know, it can say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clwm_common.files.policy_document import SLOT, PolicyInputs
from clwm_policy.model.language import pooled

FEW = 3  # values of a slot up to which sentences are filled with each of them
_SHOWN = 100  # characters of a sentence in a message


@dataclass(frozen=True)
class Nearest:
    """The known sentence that is most like another one, in that one's own words. similarity: cosine, 1 at most.

    goal: what it asks for.
    """

    sentence: str
    goal: str
    similarity: float


class KnownSentences:
    """The sentences of a policy's inputs, embedded when one is asked about for the first time.

    What fills a slot, such as a colour, tells objects of one scene apart and not what is known from what is not. So
    values of which there are many stand for one another: known sentences have the first ones, in the order in which
    they are named, and in what is asked about they are put in the place of those it has.
    """

    def __init__(self, inputs: PolicyInputs, embed: Callable[[str], Tensor]) -> None:
        """embed: sentence -> embedding, as the policy is given it."""
        self._inputs, self.embed = inputs, embed
        # Slots with the same values share them: no colour is named twice.
        self._groups = list(dict.fromkeys(inputs.slots.values()))
        many = [values for values in self._groups if len(values) > FEW]
        self._words = [(values, re.compile(rf"\b({'|'.join(map(re.escape, values))})\b", re.I)) for values in many]

    def prepare(self) -> None:
        """Embed them now, so that the first question need not wait for that."""
        if self._inputs.least_similarity is not None:
            _ = self._directions

    def nearest(self, sentence: str) -> Nearest:
        """The known one that is most like it."""
        standing, own = self._with_first_values(sentence)
        similarities = self._directions @ self._direction(standing)
        index = int(similarities.argmax())
        goal, words = self._known[index]
        for values, pattern in self._words:
            words = pattern.sub(lambda found, own=own[values]: own.get(found[0], found[0]), words)
        return Nearest(words, goal, float(similarities[index]))

    def problem_with(self, sentence: str) -> str:
        """Why the policy does not know what is asked; empty when it does, or cannot tell."""
        least = self._inputs.least_similarity
        if least is None:
            return ""
        found = self.nearest(sentence)
        if found.similarity >= least:
            return ""
        return (
            f"'{sentence[:_SHOWN]}' is unlike all that the policy was trained with; the nearest is "
            f"'{found.sentence[:_SHOWN]}' (similarity {found.similarity:.2f}, known from {least:.2f} on). Ask for what "
            "it knows, or insist (clwm task --insist, or the field insist)"
        )

    @cached_property
    def _known(self) -> list[tuple[str, str]]:
        """(what it asks for, sentence)."""
        sentences = self._inputs.sentences
        return [(goal, words) for goal, texts in sentences.items() for text in texts for words in self._filled(text)]

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """(sentences, width), of unit length."""
        return np.stack([self._direction(words) for _, words in self._known])

    def _direction(self, sentence: str) -> NDArray[np.float32]:
        return pooled(self.embed(sentence)).numpy()

    def _filled(self, text: str) -> list[str]:
        """The sentences that stand for all that a text with slots can say."""
        slots = self._inputs.slots
        names = list(dict.fromkeys(SLOT.findall(text)))
        choices: list[dict[str, str]] = [{}]
        for name in names:
            values = slots[name]
            if len(values) > FEW:
                choices = [it | {name: _first_free(values, it)} for it in choices]
            else:
                choices = [it | {name: value} for it in choices for value in values]
        return [text.format(**choice) for choice in choices]

    def _with_first_values(self, sentence: str) -> tuple[str, Mapping[tuple[str, ...], Mapping[str, str]]]:
        """The sentence with the first values in place of its own, and its own by those."""
        own = {}
        for values, pattern in self._words:
            named = list(dict.fromkeys(word.lower() for word in pattern.findall(sentence)))
            places = dict(zip(named, values, strict=False))
            sentence = pattern.sub(lambda found, places=places: places[found[0].lower()], sentence)
            own[values] = {first: word for word, first in places.items()}
        return sentence, own


def _first_free(values: tuple[str, ...], taken: Mapping[str, str]) -> str:
    return next(value for value in values if value not in taken.values())
