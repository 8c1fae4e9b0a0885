/** The part of a head that the camera must know, metres, y up, the face looking along +z. */
export interface Subject {
  /** between the two eyes */
  eyes: { x: number; y: number; z: number };
  /** highest point: the hair */
  top: number;
  /** lowest point that may be shown: where the model is cut, or -Infinity for a whole body */
  bottom: number;
  /** half of what must stay in the picture of the face in the narrowest window */
  halfWidth: number;
}

/** What the camera sees at the depth of the head's middle: its height and where its centre is, metres. */
export interface Frame {
  height: number;
  centreY: number;
}

/** Where the eyes should be, as part of the picture's height from its top. */
const EYE_LINE = 1 / 3;
/** Air above the hair, as part of the face's half width. */
const AIR = 0.2;

/**
 * Frames a subject from the chest up for a window of `aspect` = width / height.
 *
 * In wide windows only the height matters, so a wide still shown with `object-fit: cover` lies exactly under the
 * live picture. In narrow ones the face must fit the width; what the model lacks below, the air above gives.
 */
export function frame(subject: Subject, aspect: number): Frame {
  const above = subject.top - subject.eyes.y + AIR * subject.halfWidth;
  const below = subject.eyes.y - subject.bottom;
  const chest = above / EYE_LINE - above;
  const height = above + Math.min(chest, below);
  const needed = (2 * subject.halfWidth) / aspect;
  if (needed <= height) return { height, centreY: subject.eyes.y + above - height / 2 };
  const eyeLine = Math.max(EYE_LINE, 1 - below / needed);
  return { height: needed, centreY: subject.eyes.y + needed * eyeLine - needed / 2 };
}
