"""Speech of our synthesisers in many voices, with its phonemes, and how well a face follows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from bench.lipsync.gates import AFTER, BEFORE, BILABIAL, Counts, count
from bench.lipsync.scores import FPS, Curve, best_lag, curves_of
from bench.lipsync.tables import animate
from bench.lipsync.voices import WORLD, Utterance, hibari, rested

from visavis.arkit import INDEX, Weights
from visavis.faces import FaceEngine
from visavis.faces.visemes import curves
from visavis.settings import EspeakSettings, Settings
from visavis.stages import tts_espeak
from visavis.stages.tts_hibari import Hibari

MORE = {
    "pl": "Babcia ma pompę w parku. Mój pies lubi bułki. Zupa pomidorowa była pyszna. Kup mi but.",
    "de": "Am Abend baden wir im Meer. Papa packt Pappe. Oma mag Butter und Brot. Du bist so ruhig.",
    "es": "El bombero subió al puente. Mamá compró pan y uvas. Tu blusa es muy bonita. Papá baila.",
    "fr": "Ma maman mange une banane. Où est la poupée de Pauline ? Le bateau bouge beaucoup. Papa bêche.",
    "it": "Il bambino beve l'acqua. Mamma compra la pasta. Tutti lupi sono brutti. Papà ama la pipa.",
    "cmn-latn-pinyin": "Ma1ma5 mai3 le5 mian4bao1. Ba4ba5 bu2 pa4 pang4. Wo3 bu4 xi3huan1 mu4tou2. "
    "Bao4bao5 bu4 ku1. Mao1 pa2 dao4 mo2gu1 shang4. Ta1 ba3 shu1 fang4 zai4 men2 pang2bian1.",
    "ja": "ママはパンとぶどうをたべました。パパはまいばんほんをよむ。うみへいこう。あかいぼうしがほしい。"
    "ばあばはピアノもすき。もうおもちゃであそぶ。",
}
"""Language of espeak-ng -> sentences full of lips that meet and that are round."""
OURS = "hibari"
VOICES = (OURS, *MORE)
VARIANTS = ("", "+f3", "+Henrique")
"""Of the voice of a language; the face net was never trained on the last."""
SEALED = 0.03
"""What `mouthClose` may leave of `jawOpen` where the lips touch."""


@dataclass
class Scores:
    """Of one engine with the voices of one language."""

    said: list[Utterance]
    faces: list[Weights]

    @cached_property
    def counts(self) -> Counts:
        found = Counts()
        for said, face in zip(self.said, self.faces, strict=True):
            found.add(count(said.phonemes, face))
        return found

    @cached_property
    def hits(self) -> dict[str, list[bool]]:
        """Lips that close and that touch, vowels rounded and opened, pauses with the mouth shut."""
        found = self.counts
        sealed = [
            hit for said, face in zip(self.said, self.faces, strict=True) for hit in _sealed(said, face)
        ]
        return {
            "closed": found.closed,
            "sealed": sealed,
            "rounded": found.rounded,
            "opened": found.opened,
            "silent": found.silent,
        }

    @property
    def shares(self) -> dict[str, float]:
        return {kind: float(np.mean(hits)) if hits else 0.0 for kind, hits in self.hits.items()}

    @property
    def lag(self) -> int:
        """Frames by which the faces as a whole are later than those drawn from the phonemes."""
        return best_lag(
            [
                (_exact_gap(said, len(face)), curves_of(face)["gap"])
                for said, face in zip(self.said, self.faces, strict=True)
            ]
        )


def speech(voice: str) -> list[Utterance]:
    """What "hibari", or espeak-ng in a language, says in three voices, each after a moment of silence."""
    if voice == OURS:
        return list(hibari(Hibari))
    text = f"{WORLD.get(voice, '')} {MORE[voice]}"
    engines = [tts_espeak.load(_speaker(voice + variant)) for variant in VARIANTS]
    spoken = [engine(text) for engine in engines]
    return [rested(Utterance(voice, said.pcm, said.phonemes or ())) for said in spoken]


def faces(engine: FaceEngine, said: list[Utterance]) -> list[Weights]:
    """Drawn as the server draws: a few frames at a time."""
    return [animate(engine, utterance.pcm, utterance.phonemes) for utterance in said]


def _speaker(name: str) -> Settings:
    return Settings(espeak=EspeakSettings(voice=name))


@cache
def _exact_gap(said: Utterance, frames: int) -> Curve:
    return curves_of(curves(said.phonemes, frames, FPS))["gap"]


def _sealed(said: Utterance, face: Weights) -> Iterator[bool]:
    apart = face[:, INDEX["jawOpen"]] - face[:, INDEX["mouthClose"]]
    for phone in said.phonemes:
        if phone.symbol in BILABIAL:
            first = max(0, int((phone.start - BEFORE) * FPS))
            yield bool(apart[first : max(first + 1, int(np.ceil((phone.end + AFTER) * FPS)))].min() < SEALED)
