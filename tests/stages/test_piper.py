"""Piper: a voice of a few nodes with the inputs and outputs of a real one, and a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.espeak import needs_espeak
from tests.hissing import HISSING, best_shift

from visavis.configuration import load_settings
from visavis.errors import ConfigurationError
from visavis.needs import needed_models
from visavis.settings import AssistantSettings, PiperSettings, Settings, StageSettings, VoiceSettings
from visavis.stages import Speech, tts_piper
from visavis.stages.tts_piper import Piper

HOP, RATE = 256, 16_000
SYMBOLS = "_^$ .,?!abdefhijklmnoprstuvwzæðŋɐɑɔəɚɛɪɹɾʃʊʌʒˈˌːθ"


def voice_file(folder: Path, *, speakers: int = 1, timed: bool = True, **more: Any) -> Path:
    """A voice whose symbols take two frames each; the sound of speaker n is n + 1 times as loud."""
    node = helper.make_node
    constants: dict[str, NDArray[Any]] = {
        "two": np.array(2.0, np.float32),
        "hop": np.array(HOP, np.int64),
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "onef": np.array(1.0, np.float32),
        "which": np.array([1], np.int64),
        "first": np.array([0], np.int64),
        "shape": np.array([1, 1, 1, -1], np.int64),
        "quiet": np.array(0.05, np.float32),
        "none": np.array(0.0, np.float32),
    }
    nodes = [
        node("Cast", ["input"], ["numbers"], to=TensorProto.FLOAT),
        node("Mul", ["numbers", "none"], ["nothing"]),
        node("Add", ["nothing", "two"], ["twos"]),
        node("Gather", ["scales", "which"], ["length"]),
        node("Mul", ["twos", "length"], ["exact"]),
        node("Ceil" if timed else "Floor", ["exact"], ["frames"]),
        node("ReduceSum", ["frames"], ["total"], keepdims=0),
        node("Cast", ["total"], ["count"], to=TensorProto.INT64),
        node("Mul", ["count", "hop"], ["samples"]),
        node("Range", ["zero", "samples", "one"], ["ticks"]),
        node("Cast", ["ticks"], ["time"], to=TensorProto.FLOAT),
        node("Sin", ["time"], ["tone"]),
        node("RandomNormalLike", ["tone"], ["noise"]),
        node("Gather", ["scales", "first"], ["breath"]),
        node("Mul", ["noise", "breath"], ["breathed"]),
        node("Add", ["tone", "breathed"], ["sound"]),
        node("Mul", ["sound", "quiet"], ["soft"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"]))
        nodes += [
            node("Cast", ["sid"], ["who"], to=TensorProto.FLOAT),
            node("Sin", ["who"], ["pitch"]),
            node("Mul", ["time", "pitch"], ["hum"]),
            node("Sin", ["hum"], ["hums"]),
            node("Mul", ["hums", "quiet"], ["low"]),
            node("Add", ["soft", "low"], ["voice"]),
        ]
    nodes.append(node("Reshape", ["voice" if speakers > 1 else "soft", "shape"], ["output"]))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 1, 1, "time"])
    graph = helper.make_graph(
        nodes, "voice", inputs, [output], [numpy_helper.from_array(v, k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    file = folder / "xx_XX-tiny-low.onnx"
    onnx.save(model, str(file))
    description = {
        "audio": {"sample_rate": RATE, "quality": "low"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.5, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: [number] for number, symbol in enumerate(SYMBOLS)},
        "num_speakers": speakers,
        "speaker_id_map": {"anna": 0, "bert": 1} if speakers > 1 else {},
    }
    (folder / (file.name + ".json")).write_text(json.dumps(description | more), encoding="utf-8")
    return file


def loaded(file: Path, speed: float = 1.0, seed: int = 0, speaker: str = "") -> Piper:
    return tts_piper.load(
        Settings(
            assistant=AssistantSettings(seed=seed),
            piper=PiperSettings(voice=file, speaker=speaker),
            voice=VoiceSettings(speed=speed),
        )
    )


def seconds(speech: Speech) -> float:
    return len(speech.pcm) / 2 / Piper.rate


@needs_espeak
def test_the_pads_between_symbols_belong_half_to_each_of_them(tmp_path: Path) -> None:
    voice = loaded(voice_file(tmp_path))
    speech = voice("No, no.")
    # ^_n_ˈ_o_ʊ_,_ _n_ˈ_o_ʊ_._$ : a symbol is 4 frames with its pads, the ends are 3.
    frame = HOP / RATE
    assert seconds(speech) == pytest.approx((11 * 4 + 2 * 3) * frame, abs=2e-3)
    assert "".join(p.symbol for p in speech.phonemes or ()) == "silnoʊsilnoʊsil"
    begins = [phoneme.start for phoneme in speech.phonemes or ()]
    symbols = np.array([3, 7, 15, 19, 27, 31, 39, 43]) * frame  # the second begins with the stress before it
    assert begins == pytest.approx([0.0, *(symbols - tts_piper.LAG)], abs=2e-3)
    assert [phoneme.stress for phoneme in speech.phonemes or ()] == [0, 0, 2, 0, 0, 0, 2, 0, 0]
    assert [(word.text, word.start, word.end) for word in speech.words] == [
        ("No,", begins[1], begins[4]),
        ("no.", begins[5], begins[8]),
    ]
    assert voice._numbers(["<s>", "a", "</s>"]).ids == [SYMBOLS.index(symbol) for symbol in "^_a_$"]


@needs_espeak
def test_equal_text_and_seed_give_equal_bytes(tmp_path: Path) -> None:
    file = voice_file(tmp_path)
    first, again, other = loaded(file), loaded(file), loaded(file, seed=1)
    spoken = first("One, two.").pcm
    assert spoken == first("One, two.").pcm == again("One, two.").pcm
    assert spoken != other("One, two.").pcm
    assert len(spoken) == len(other("One, two.").pcm)


@needs_espeak
def test_speed_is_the_speed(tmp_path: Path) -> None:
    file = voice_file(tmp_path)
    slow, fast = (seconds(loaded(file, speed)("Hello, my friend.")) for speed in (0.5, 2.0))
    assert slow == pytest.approx(4 * fast, rel=0.02)


@needs_espeak
def test_a_quiet_voice_is_as_loud_as_the_others(tmp_path: Path) -> None:
    wave = np.frombuffer(loaded(voice_file(tmp_path))("Hello, my friend.").pcm, "<i2") / 32768
    assert 20 * np.log10(np.sqrt(np.mean(wave**2))) == pytest.approx(-18, abs=1)


@needs_espeak
def test_speakers_have_names_and_numbers(tmp_path: Path) -> None:
    file = voice_file(tmp_path, speakers=2)
    first, anna, bert, second = (loaded(file, speaker=who)("No.").pcm for who in ("", "anna", "bert", "1"))
    assert first == anna != bert == second
    for wrong in ("2", "carl", "²"):
        with pytest.raises(ConfigurationError, match="anna, bert"):
            loaded(file, speaker=wrong)


@needs_espeak
def test_a_voice_that_does_not_tell_durations_has_sound_alone(tmp_path: Path) -> None:
    speech = loaded(voice_file(tmp_path, timed=False))("Hello there.")
    assert seconds(speech) > 0.5
    assert speech.phonemes is None
    assert speech.words == ()


@needs_espeak
def test_it_speaks_the_language_of_its_file(tmp_path: Path) -> None:
    assert loaded(voice_file(tmp_path, espeak={"voice": "pt-br"})).languages == {"pt"}


@needs_espeak
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"phoneme_type": "text"}, "'text'"),
        ({"espeak": {"voice": "xx"}}, "'xx'"),
        ({"phoneme_id_map": {"a": [1]}}, "only voices that are pronounced by espeak-ng"),
        ({"audio": None}, "does not describe a voice"),
    ],
)
def test_a_description_that_cannot_work_is_named(tmp_path: Path, change: Any, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        loaded(voice_file(tmp_path, **change))


@needs_espeak
def test_a_file_that_is_no_voice_is_named(tmp_path: Path) -> None:
    file = voice_file(tmp_path)
    with pytest.raises(ConfigurationError, match=r"nowhere\.onnx: there is no such file"):
        loaded(tmp_path / "nowhere.onnx")
    file.write_bytes(b"not a graph")
    with pytest.raises(ConfigurationError, match="does not work as a voice of Piper"):
        loaded(file)
    Path(f"{file}.json").unlink()
    with pytest.raises(ConfigurationError, match="in one folder"):
        loaded(file)


def test_without_a_file_it_speaks_english_only() -> None:
    with pytest.raises(ConfigurationError, match="PIPER_VOICE"):
        tts_piper.load(Settings(assistant=AssistantSettings(language="pl")))


def test_a_voice_chooses_piper_in_any_language(tmp_path: Path) -> None:
    file = {"PIPER_VOICE": "/voice.onnx"}
    assert load_settings({}, None, file, tmp_path).stages.tts == "piper"
    assert load_settings({}, None, file | {"ASSISTANT_LANGUAGE": "pl"}, tmp_path).stages.tts == "piper"
    assert load_settings({"stages.tts": "espeak"}, None, file, tmp_path).stages.tts == "espeak"
    stages = StageSettings(tts="piper")
    assert "piper-joe" in needed_models(Settings(stages=stages))
    own = PiperSettings(voice=Path("/voice.onnx"))
    assert "piper-joe" not in needed_models(Settings(stages=stages, piper=own))


@needs_espeak
@pytest.mark.models
def test_phonemes_are_where_their_sound_is() -> None:
    shift, fit = best_shift(tts_piper.load(Settings()), HISSING)
    assert abs(shift) <= 0.021
    assert fit > 0.3
