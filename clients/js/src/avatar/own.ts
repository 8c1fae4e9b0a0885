import {
  type Bone,
  Box3,
  DirectionalLight,
  Euler,
  Group,
  HemisphereLight,
  type Mesh,
  type Object3D,
  Quaternion,
  Vector3,
} from "three";
import { arkitIndex, shape } from "./arkit";
import type { Subject } from "./framing";
import { type Model, disposeTree } from "./model";
import type { Pose } from "./life";

interface Driven {
  influences: number[];
  /** pairs of [position in influences, ARKit index] */
  map: [number, number][];
}

/** Typical lengths of a face in units of the distance between the eyes. */
const HAIR_ABOVE = 2.6;
const HALF_WIDTH = 1.75;
const CHEST_BELOW = 4.2;
const NECK_BELOW = 2.2;
const DEPTH = 2;
/** Vertices that a blink moves by at least this part of its largest movement are lids. */
const LID_SHARE = 0.3;

/** Somebody's own model: standard materials and GPU morphs, framed by where its lids are. */
export class OwnModel implements Model {
  readonly object = new Group();
  readonly background = null;
  readonly subject: Subject;
  private readonly driven: Driven[] = [];
  private readonly bone: { node: Object3D; rest: Quaternion } | null;
  private readonly pivot = new Group();
  private readonly turn = new Quaternion();
  private readonly parent = new Quaternion();
  private readonly euler = new Euler();

  /** Throws an Error when the model has no blendshape with an ARKit name. */
  constructor(scene: Object3D) {
    this.object.add(this.pivot, ...lights());
    this.pivot.add(scene);
    this.object.updateMatrixWorld(true);
    let headBone: Object3D | null = null;
    scene.traverse((node) => {
      if ((node as Mesh).isMesh) this.drive(node as Mesh);
      if ((node as Bone).isBone && /(^|[^a-z])head$/i.test(node.name)) headBone ??= node;
    });
    if (this.driven.length === 0) {
      throw new Error("This model cannot talk: none of its morph targets has an ARKit name such as jawOpen.");
    }
    this.bone = headBone && { node: headBone, rest: (headBone as Object3D).quaternion.clone() };
    this.subject = locate(scene);
    const { eyes } = this.subject;
    const neck = (NECK_BELOW / HALF_WIDTH) * this.subject.halfWidth;
    this.pivot.position.set(eyes.x, eyes.y - neck, eyes.z);
    scene.position.sub(this.pivot.position);
  }

  show(weights: Float32Array, pose: Pose): void {
    for (const { influences, map } of this.driven) {
      for (const [target, arkit] of map) influences[target] = weights[arkit]!;
    }
    this.turn.setFromEuler(this.euler.set(pose.pitch, pose.yaw, -pose.roll));
    if (!this.bone) {
      this.pivot.quaternion.copy(this.turn);
      return;
    }
    // The turn is given in the world's axes, a bone's quaternion in its parent's.
    const { node, rest } = this.bone;
    node.parent!.getWorldQuaternion(this.parent);
    node.quaternion.copy(this.parent).invert().multiply(this.turn).multiply(this.parent).multiply(rest);
  }

  dispose(): void {
    disposeTree(this.object);
  }

  private drive(mesh: Mesh): void {
    mesh.frustumCulled = false;
    const map = Object.entries(mesh.morphTargetDictionary ?? {})
      .map(([name, target]): [number, number] => [target, arkitIndex(name)])
      .filter(([, arkit]) => arkit >= 0);
    if (map.length > 0 && mesh.morphTargetInfluences) this.driven.push({ influences: mesh.morphTargetInfluences, map });
  }
}

/** Finds the face by its lids, the one thing that every ARKit head has; without them, by the model's bounding box. */
function locate(scene: Object3D): Subject {
  const box = new Box3().setFromObject(scene);
  const left = lidCentre(scene, shape("eyeBlinkLeft"));
  const right = lidCentre(scene, shape("eyeBlinkRight"));
  const height = box.max.y - box.min.y;
  const middle = box.getCenter(new Vector3());
  const apart = left && right ? left.distanceTo(right) : height / 5;
  const eyes = left && right ? left.add(right).multiplyScalar(0.5) : middle.setY(box.max.y - height * 0.4);
  return {
    eyes: { x: eyes.x, y: eyes.y, z: eyes.z - DEPTH * apart },
    top: Math.min(box.max.y, eyes.y + HAIR_ABOVE * apart),
    bottom: Math.max(box.min.y, eyes.y - CHEST_BELOW * apart),
    halfWidth: HALF_WIDTH * apart,
  };
}

/** The middle of the vertices that one eye's blink moves, in world coordinates, or null. */
function lidCentre(scene: Object3D, arkit: number): Vector3 | null {
  const moved: { point: Vector3; length: number }[] = [];
  scene.traverse((node) => {
    const mesh = node as Mesh;
    const target = Object.entries(mesh.morphTargetDictionary ?? {}).find(([name]) => arkitIndex(name) === arkit)?.[1];
    const deltas = target === undefined ? undefined : mesh.geometry.morphAttributes.position?.[target];
    if (!deltas) return;
    const scale = mesh.matrixWorld.getMaxScaleOnAxis();
    for (let i = 0; i < deltas.count; i++) {
      const length = scale * Math.hypot(deltas.getX(i), deltas.getY(i), deltas.getZ(i));
      if (length === 0) continue;
      moved.push({ point: mesh.getVertexPosition(i, new Vector3()).applyMatrix4(mesh.matrixWorld), length });
    }
  });
  // Quantised models move vertices far from the eyes by a hair's breadth: only the real movement counts.
  const least = LID_SHARE * moved.reduce((most, { length }) => Math.max(most, length), 0);
  const lids = moved.filter(({ length }) => length >= least).map(({ point }) => point);
  return lids.length > 0 ? new Box3().setFromPoints(lids).getCenter(new Vector3()) : null;
}

/** A soft three-point light for standard materials. */
function lights(): Object3D[] {
  const key = new DirectionalLight(0xfff1e0, 2.8);
  key.position.set(0.5, 0.54, 0.68);
  const fill = new DirectionalLight(0xdde8ff, 0.7);
  fill.position.set(-0.86, 0.1, 0.5);
  const rim = new DirectionalLight(0xe8f0ff, 1.2);
  rim.position.set(-0.62, 0.45, -0.64);
  return [new HemisphereLight(0xe6eeff, 0x6b5a50, 1.5), key, fill, rim];
}
