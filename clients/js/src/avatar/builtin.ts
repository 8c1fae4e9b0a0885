import {
  BufferAttribute,
  CustomBlending,
  DoubleSide,
  Euler,
  FrontSide,
  Matrix3,
  Matrix4,
  type Mesh,
  type MeshBasicMaterial,
  NoColorSpace,
  type Object3D,
  OneFactor,
  ShaderMaterial,
  type Texture,
  Vector2,
  Vector3,
  ZeroFactor,
} from "three";
import type { Subject } from "./framing";
import { type Background, type Model, disposeTree } from "./model";
import type { Pose } from "./life";
import { SparseMorphs } from "./morphs";
import { type Lighting, type Rig, type Vec3, fragmentShader, vertexShader } from "./shaders";

/** What a built-in avatar says of itself in the extras of its root node; lengths in decimetres. */
interface Meta {
  cam: Vec3;
  bg: readonly [Vec3, Vec3];
  rig: Rig;
  part: Record<string, readonly [Vec3, number]>;
}

const DECIMETRE = 0.1;
/** The models' reference point lies this far below the eyes, decimetres. */
const EYES_ABOVE_REFERENCE = 0.22;
/** Below the eyes, metres: where the bust is cut, where the neck joins the chest, the chin, and what it turns about. */
const CUT = 0.222;
const COLLAR = 0.19;
const CHIN = 0.115;
const PIVOT = 0.14;
const FACE_HALF_WIDTH = 0.108;

const BAKED = new Set(["hair", "shirt", "extra"]);
const ORDER: Record<string, number> = { shirt: 0, extra: 0, skin: 1, eyes: 1, mouth: 1, hair: 2, lids: 3 };

/** The extras of a built-in avatar within a loaded scene, or null: then it is somebody's own model. */
export function builtinMeta(scene: Object3D): Meta | null {
  let meta: Meta | null = null;
  scene.traverse((node) => {
    meta ??= (node.userData.avatar as Meta | undefined) ?? null;
  });
  return meta;
}

/** One of the avatars that come with Visavis: own light shader, blendshapes on the CPU, a neck that bends. */
export class BuiltinModel implements Model {
  readonly subject: Subject;
  readonly background: Background;
  private readonly morphs: SparseMorphs[] = [];
  private readonly shown: Float32Array;
  private readonly pose = {
    headRotation: { value: new Matrix3() },
    headPivot: { value: new Vector3() },
    neck: { value: new Vector2() },
    breath: { value: 0 },
  };
  private readonly euler = new Euler();
  private readonly rotation = new Matrix4();

  constructor(
    readonly object: Object3D,
    private readonly meta: Meta,
  ) {
    const eyes = (meta.cam[1] + EYES_ABOVE_REFERENCE) * DECIMETRE;
    this.background = { centre: css(meta.bg[0]), edge: css(meta.bg[1]) };
    this.pose.headPivot.value.set(0, eyes - PIVOT, 0.01);
    this.pose.neck.value.set(eyes - COLLAR, eyes - CHIN);
    let top = eyes;
    for (const mesh of meshes(object)) {
      top = Math.max(top, this.prepare(mesh));
    }
    this.subject = { eyes: { x: 0, y: eyes, z: 0 }, top, bottom: eyes - CUT, halfWidth: FACE_HALF_WIDTH };
    this.shown = new Float32Array(52).fill(-1);
  }

  show(weights: Float32Array, pose: Pose): void {
    this.euler.set(pose.pitch, pose.yaw, -pose.roll);
    this.pose.headRotation.value.setFromMatrix4(this.rotation.makeRotationFromEuler(this.euler));
    this.pose.breath.value = pose.breath;
    if (weights.every((weight, i) => Math.abs(weight - this.shown[i]!) < 1e-4)) return;
    this.shown.set(weights);
    for (const morphs of this.morphs) morphs.apply(weights);
  }

  dispose(): void {
    for (const mesh of meshes(this.object)) (material(mesh).uniforms.map!.value as Texture | null)?.dispose();
    disposeTree(this.object);
  }

  /** Gives a mesh our material and morphs; returns its highest point, metres. */
  private prepare(mesh: Mesh): number {
    const part = mesh.name.replace("Avatar_", "").toLowerCase();
    const geometry = mesh.geometry;
    if (!geometry.hasAttribute("color")) {
      const white = new Float32Array(geometry.getAttribute("position").count * 4).fill(1);
      geometry.setAttribute("color", new BufferAttribute(white, 4));
    }
    const standard = mesh.material as MeshBasicMaterial;
    mesh.material = this.material(part, texture(standard.map));
    standard.dispose();
    mesh.renderOrder = ORDER[part] ?? 1;
    mesh.frustumCulled = false;
    if (geometry.morphAttributes.position) {
      this.morphs.push(new SparseMorphs(geometry, Object.keys(mesh.morphTargetDictionary ?? {})));
      mesh.morphTargetInfluences = undefined;
      mesh.morphTargetDictionary = undefined;
    }
    geometry.computeBoundingBox();
    mesh.updateWorldMatrix(true, false);
    return geometry.boundingBox!.clone().applyMatrix4(mesh.matrixWorld).max.y;
  }

  private material(part: string, map: Texture | null): ShaderMaterial {
    const lighting: Lighting = part === "lids" ? "painted" : BAKED.has(part) ? "baked" : "lit";
    const { rig } = this.meta;
    const cutOut = part === "hair";
    const result = new ShaderMaterial({
      vertexShader: vertexShader(lighting, rig),
      fragmentShader: fragmentShader(lighting, rig, cutOut),
      uniforms: {
        ...this.pose,
        follows: { value: part === "shirt" ? 0 : 1 },
        wrap: { value: new Vector3(...(this.meta.part[part]?.[0] ?? [0.3, 0.3, 0.3])) },
        map: { value: map },
        hasMap: { value: map ? 1 : 0 },
      },
      side: lighting === "lit" ? FrontSide : DoubleSide,
      transparent: lighting === "painted",
      depthWrite: lighting !== "painted",
      alphaToCoverage: cutOut,
    });
    if (cutOut) {
      // Alpha only chooses the samples that a hair covers: the canvas itself must stay opaque, or hair has grey rims.
      result.blending = CustomBlending;
      result.blendSrc = OneFactor;
      result.blendDst = ZeroFactor;
      result.blendSrcAlpha = ZeroFactor;
      result.blendDstAlpha = OneFactor;
    }
    return result;
  }
}

function texture(map: Texture | null): Texture | null {
  if (!map) return null;
  map.colorSpace = NoColorSpace; // the shader decodes sRGB itself
  map.anisotropy = 4;
  map.needsUpdate = true;
  return map;
}

function meshes(object: Object3D): Mesh[] {
  const found: Mesh[] = [];
  object.traverse((node) => {
    if ((node as Mesh).isMesh) found.push(node as Mesh);
  });
  return found;
}

const material = (mesh: Mesh) => mesh.material as ShaderMaterial;
const css = (c: Vec3) => `rgb(${c.map((x) => Math.round(x * 255)).join(", ")})`;
