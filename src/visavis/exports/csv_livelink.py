"""CSV as the Live Link Face app records it, for Unreal's importer and everything else that reads it."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from visavis.arkit import INDEX
from visavis.track import Track

# The order of the app's own recordings (ARKit's, but Right before Left for jaw and mouth).
SHAPES = """
EyeBlinkLeft EyeLookDownLeft EyeLookInLeft EyeLookOutLeft EyeLookUpLeft EyeSquintLeft EyeWideLeft
EyeBlinkRight EyeLookDownRight EyeLookInRight EyeLookOutRight EyeLookUpRight EyeSquintRight EyeWideRight
JawForward JawRight JawLeft JawOpen MouthClose MouthFunnel MouthPucker MouthRight MouthLeft MouthSmileLeft
MouthSmileRight MouthFrownLeft MouthFrownRight MouthDimpleLeft MouthDimpleRight MouthStretchLeft
MouthStretchRight MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthPressLeft MouthPressRight
MouthLowerDownLeft MouthLowerDownRight MouthUpperUpLeft MouthUpperUpRight BrowDownLeft BrowDownRight
BrowInnerUp BrowOuterUpLeft BrowOuterUpRight CheekPuff CheekSquintLeft CheekSquintRight NoseSneerLeft
NoseSneerRight TongueOut
""".split()
ROTATIONS = """
HeadYaw HeadPitch HeadRoll LeftEyeYaw LeftEyePitch LeftEyeRoll RightEyeYaw RightEyePitch RightEyeRoll
""".split()
"""Angles, which a voice does not tell: always zero. The eyes' movement is in their shapes."""
COLUMNS = ["Timecode", "BlendShapeCount", *SHAPES, *ROTATIONS]

_INDICES = [INDEX[name[0].lower() + name[1:]] for name in SHAPES]
_ROW = ",".join(
    ["%s", str(len(SHAPES) + len(ROTATIONS)), *["%.7f"] * len(SHAPES), *["0.0000000"] * len(ROTATIONS)]
)


def write(track: Track, file: BinaryIO) -> None:
    base = time_base(track)
    file.write((",".join(COLUMNS) + "\n").encode())
    shapes = track.weights[:, _INDICES].astype(np.float64)
    for frame, row in enumerate(shapes):
        file.write((_ROW % (timecode(frame, track.fps, base), *row.tolist()) + "\n").encode())


def time_base(track: Track) -> int:
    """Frames a second in the timecodes.

    The app records at 30 or 60, and Unreal's importer takes a file for 60 only where it finds a frame number
    above 30. Other rates are written as parts of such frames.
    """
    longest = (len(track) - 1) / track.fps  # a second has all numbers
    return 60 if track.fps > 30 and longest > 31 / 60 else 30


def timecode(frame: int, fps: float, base: int) -> str:
    """hh:mm:ss:ff.fff: the time at which a frame begins, in frames of `base` a second and their parts."""
    thousandths = round(frame / fps * base * 1000)
    seconds, thousandths = divmod(thousandths, base * 1000)
    whole, part = divmod(thousandths, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{whole:02}.{part:03}"
