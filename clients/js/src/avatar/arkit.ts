import { BLENDSHAPES, WEIGHTS } from "../arkit";

/** The 52 ARKit blendshapes, alphabetical: index 0..51 everywhere. */
export const ARKIT: readonly string[] = BLENDSHAPES;
export const COUNT = WEIGHTS;

const BY_KEY = new Map(ARKIT.map((name, index) => [name.toLowerCase(), index]));

/** The index of a blendshape by its exact ARKit name; throws a RangeError for a name that is not one of the 52. */
export function shape(name: string): number {
  const index = BY_KEY.get(name.toLowerCase());
  if (index === undefined) throw new RangeError(`"${name}" is not an ARKit blendshape.`);
  return index;
}

/**
 * The index that a morph target's name means, or -1: exporters write eyeBlinkLeft, EyeBlink_L, eye_blink.left,
 * blendShape1.eyeBlinkLeft or eyeBlinkL for the same shape.
 */
export function arkitIndex(targetName: string): number {
  const sided = targetName
    .replace(/(?:[_.\-\s]|(?<=[a-z]))L$/, "Left")
    .replace(/(?:[_.\-\s]|(?<=[a-z]))R$/, "Right")
    .replace(/[_.\-\s]l$/, "Left")
    .replace(/[_.\-\s]r$/, "Right");
  const plain = (text: string) => text.replace(/[^a-z]/gi, "").toLowerCase();
  const candidates = [sided, sided.slice(sided.lastIndexOf(".") + 1), sided.slice(sided.lastIndexOf(":") + 1)];
  for (const candidate of candidates) {
    const index = BY_KEY.get(plain(candidate));
    if (index !== undefined) return index;
  }
  return -1;
}
