import { BufferAttribute, BufferGeometry } from "three";
import { expect, test } from "vitest";
import { ARKIT, COUNT } from "./arkit";
import { SparseMorphs } from "./morphs";

const VERTICES = 60;

/** Numbers in -1..1 that repeat from run to run. */
function noise(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => 2 * ((Math.sin(seed * 91.7 + i * 12.9898) * 43758.5453) % 1));
}

/** A mesh with all 52 targets, each moving a third of its vertices. */
function mesh() {
  const position = noise(3 * VERTICES, 1);
  const normal = noise(3 * VERTICES, 2);
  const thin = (values: number[], target: number) =>
    values.map((value, i) => ((Math.floor(i / 3) + target) % 3 === 0 ? value : 0));
  const positions = ARKIT.map((_, target) => thin(noise(3 * VERTICES, target + 3), target));
  const normals = ARKIT.map((_, target) => thin(noise(3 * VERTICES, target + 99), target));
  const geometry = new BufferGeometry();
  const attribute = (values: number[]) => new BufferAttribute(new Float32Array(values), 3);
  geometry.setAttribute("position", attribute(position));
  geometry.setAttribute("normal", attribute(normal));
  geometry.morphAttributes.position = positions.map(attribute);
  geometry.morphAttributes.normal = normals.map(attribute);
  return { geometry, position, normal, positions, normals };
}

function dense(rest: number[], targets: number[][], weights: Float32Array): number[] {
  return rest.map((value, i) => targets.reduce((sum, target, t) => sum + weights[t]! * target[i]!, value));
}

function expectClose(actual: ArrayLike<number>, expected: number[]): void {
  expected.forEach((value, i) => expect(actual[i]).toBeCloseTo(value, 4));
}

test("sparse morphs give what dense morphs give, whatever was shown before", () => {
  const { geometry, position, normal, positions, normals } = mesh();
  const morphs = new SparseMorphs(geometry, ARKIT);
  for (const seed of [5, 6]) {
    const weights = new Float32Array(noise(COUNT, seed).map(Math.abs));
    morphs.apply(weights);
    expectClose(geometry.getAttribute("position").array, dense(position, positions, weights));
    expectClose(geometry.getAttribute("normal").array, dense(normal, normals, weights));
  }
  morphs.apply(new Float32Array(COUNT));
  expectClose(geometry.getAttribute("position").array, position);
});

test("the targets' order in the file does not matter, and unknown ones are left alone", () => {
  const { geometry, position, positions } = mesh();
  const names = [...ARKIT];
  [names[0], names[24]] = ["jawOpen", "somethingElse"];
  const weights = new Float32Array(COUNT);
  weights[24] = 1;
  new SparseMorphs(geometry, names).apply(weights);
  expectClose(geometry.getAttribute("position").array, dense(position, [positions[0]!], new Float32Array([1])));
});

test("quantised attributes, as in compressed models, are read in their units", () => {
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Int16Array([32767, 0, 0]), 3, true));
  geometry.setAttribute("normal", new BufferAttribute(new Int8Array([0, 127, 0]), 3, true));
  geometry.morphAttributes.position = [new BufferAttribute(new Int16Array([0, 0, 32767]), 3, true)];
  const weights = new Float32Array(COUNT);
  weights[24] = 0.5;
  new SparseMorphs(geometry, ["jawOpen"]).apply(weights);
  expectClose(geometry.getAttribute("position").array, [1, 0, 0.5]);
  expectClose(geometry.getAttribute("normal").array, [0, 1, 0]);
  expect(geometry.morphAttributes).toEqual({});
});
