import { BufferAttribute, DynamicDrawUsage, type BufferGeometry, type InterleavedBufferAttribute } from "three";
import { arkitIndex } from "./arkit";

type Attribute = BufferAttribute | InterleavedBufferAttribute;

/** Deltas below these (model units; normal length) cannot be seen. */
const POSITION_EPSILON = 1e-5;
const NORMAL_EPSILON = 0.02;

/** One blendshape of one mesh: only the vertices that it moves. */
interface Target {
  arkit: number;
  vertices: Uint32Array;
  /** six numbers a vertex: dx dy dz, dnx dny dnz */
  deltas: Float32Array;
}

/**
 * Blendshapes applied on the CPU, to the vertices they move and no others.
 *
 * 52 targets in the vertex shader cost every vertex 104 texture reads; here a face costs 0.2 ms whatever draws it,
 * which is what makes software WebGL bearable.
 */
export class SparseMorphs {
  private readonly restPosition: Float32Array;
  private readonly restNormal: Float32Array;
  private readonly position: BufferAttribute;
  private readonly normal: BufferAttribute;
  private readonly targets: Target[] = [];

  /** Takes the targets over: `geometry` keeps plain position and normal attributes and no morph attributes. */
  constructor(geometry: BufferGeometry, targetNames: readonly string[]) {
    this.restPosition = unpack(geometry.getAttribute("position"));
    this.restNormal = unpack(geometry.getAttribute("normal"));
    const normals = geometry.morphAttributes.normal;
    (geometry.morphAttributes.position ?? []).forEach((attribute, i) => {
      const arkit = arkitIndex(targetNames[i] ?? "");
      if (arkit >= 0) this.targets.push(sparse(arkit, unpack(attribute), normals?.[i] ? unpack(normals[i]) : null));
    });
    geometry.morphAttributes = {};
    this.position = new BufferAttribute(this.restPosition.slice(), 3).setUsage(DynamicDrawUsage);
    this.normal = new BufferAttribute(this.restNormal.slice(), 3).setUsage(DynamicDrawUsage);
    geometry.setAttribute("position", this.position);
    geometry.setAttribute("normal", this.normal);
  }

  /** Shapes the mesh by 52 weights in ARKit order. */
  apply(weights: Float32Array): void {
    const position = this.position.array;
    const normal = this.normal.array;
    position.set(this.restPosition);
    normal.set(this.restNormal);
    for (const { arkit, vertices, deltas } of this.targets) {
      const weight = weights[arkit]!;
      if (weight === 0) continue;
      for (let i = 0, d = 0; i < vertices.length; i++, d += 6) {
        const v = vertices[i]! * 3;
        position[v]! += weight * deltas[d]!;
        position[v + 1]! += weight * deltas[d + 1]!;
        position[v + 2]! += weight * deltas[d + 2]!;
        normal[v]! += weight * deltas[d + 3]!;
        normal[v + 1]! += weight * deltas[d + 4]!;
        normal[v + 2]! += weight * deltas[d + 5]!;
      }
    }
    this.position.needsUpdate = true;
    this.normal.needsUpdate = true;
  }
}

function sparse(arkit: number, positions: Float32Array, normals: Float32Array | null): Target {
  const vertices: number[] = [];
  const deltas: number[] = [];
  for (let v = 0; v < positions.length; v += 3) {
    const [x, y, z] = [positions[v]!, positions[v + 1]!, positions[v + 2]!];
    const [nx, ny, nz] = normals ? [normals[v]!, normals[v + 1]!, normals[v + 2]!] : [0, 0, 0];
    const moves = Math.abs(x) + Math.abs(y) + Math.abs(z) > POSITION_EPSILON;
    if (!moves && Math.abs(nx) + Math.abs(ny) + Math.abs(nz) <= NORMAL_EPSILON) continue;
    vertices.push(v / 3);
    deltas.push(x, y, z, nx, ny, nz);
  }
  return { arkit, vertices: new Uint32Array(vertices), deltas: new Float32Array(deltas) };
}

/** Plain floats out of an attribute that may be interleaved, quantised and normalised: float32[3 * count]. */
function unpack(attribute: Attribute): Float32Array {
  const out = new Float32Array(attribute.count * 3);
  for (let i = 0; i < attribute.count; i++) {
    out[3 * i] = attribute.getX(i);
    out[3 * i + 1] = attribute.getY(i);
    out[3 * i + 2] = attribute.getZ(i);
  }
  return out;
}
