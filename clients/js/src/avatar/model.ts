import type { Object3D } from "three";
import type { Subject } from "./framing";
import type { Pose } from "./life";

/** A two-colour radial gradient behind the avatar; colours as #rrggbb or rgb(r, g, b). */
export interface Background {
  centre: string;
  edge: string;
}

/** A model in the scene that can show a face and a pose. */
export interface Model {
  readonly object: Object3D;
  readonly subject: Subject;
  /** The gradient the model was made for, if it has one. */
  readonly background: Background | null;
  /** Shows 52 weights in ARKit order and a pose. */
  show(weights: Float32Array, pose: Pose): void;
  dispose(): void;
}

/** Frees the GPU memory of everything below `object`. */
export function disposeTree(object: Object3D): void {
  object.traverse((node) => {
    const mesh = node as Partial<import("three").Mesh>;
    mesh.geometry?.dispose();
    for (const material of [mesh.material ?? []].flat()) {
      for (const value of Object.values(material)) if (isTexture(value)) value.dispose();
      material.dispose();
    }
  });
}

function isTexture(value: unknown): value is import("three").Texture {
  return typeof value === "object" && value !== null && "isTexture" in value;
}
