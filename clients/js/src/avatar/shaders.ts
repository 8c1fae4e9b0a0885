/** The light rig that an avatar carries in its GLB's extras: directions, linear RGB colours, exposure. */
export interface Rig {
  L1: Vec3;
  L2: Vec3;
  L3: Vec3;
  key: Vec3;
  fill: Vec3;
  sky: Vec3;
  ground: Vec3;
  term: Vec3;
  rim: number;
  exposure: number;
}

export type Vec3 = readonly [number, number, number];

/**
 * How a part is lit: `lit` by the rig (skin, eyes, mouth), `baked` in its vertices (hair, clothes, glasses),
 * `painted` in vertex colours with alpha (lashes and lids).
 */
export type Lighting = "lit" | "baked" | "painted";

const vec3 = (v: Vec3) => `vec3(${v.map((x) => x.toFixed(5)).join(", ")})`;
const float = (x: number) => x.toFixed(5);

/** Filmic tone curve and sRGB encoding, and sRGB decoding of textures. */
const TONE = /* glsl */ `
vec3 toneMap(vec3 x) {
  vec3 y = clamp(x * (2.35 * x + 0.06) / (x * (2.25 * x + 0.66) + 0.16), 0.0, 1.0);
  return mix(12.92 * y, 1.055 * pow(max(y, 1e-6), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, y));
}
vec3 linear(vec3 a) { return mix(a / 12.92, pow((a + 0.055) / 1.055, vec3(2.4)), step(0.04045, a)); }`;

/** Key with wrapped, reddened terminator, fill, sky and ground, two highlights, and a rim. */
const lightSource = (rig: Rig) => /* glsl */ `
uniform vec3 wrap;
void light(vec3 n, vec3 view, float visible, float specular, out vec3 diffuse, out float shine) {
  const vec3 key = ${vec3(rig.L1)};
  const vec3 fill = ${vec3(rig.L2)};
  float k = dot(n, key);
  float f = max((dot(n, fill) + 0.5) / 1.5, 0.0);
  float up = n.y * 0.5 + 0.5;
  float edge = (k - 0.02) / 0.30;
  vec3 wrapped = max((k + wrap) / (1.0 + wrap), 0.0) * visible * (1.0 + (1.0 - visible) * vec3(0.35, 0.06, 0.0));
  diffuse = ${float(rig.exposure)} * (${vec3(rig.key)} * wrapped + ${vec3(rig.fill)} * f + ${vec3(rig.sky)} * up
    + ${vec3(rig.ground)} * (1.0 - up) + ${vec3(rig.term)} * exp(-edge * edge) * visible);
  float a = pow(max(dot(n, normalize(key + view)), 0.0), 12.0);
  float b = pow(max(dot(n, normalize(fill + view)), 0.0), 16.0);
  float rim = 1.0 - max(dot(n, view), 0.0);
  rim = rim * rim * rim * max(dot(n, ${vec3(rig.L3)}) + 0.25, 0.0);
  shine = ${float(rig.exposure)} * (specular * ((0.55 * a + 0.60 * a * a * a * a) * visible * 1.6 + 0.14 * b)
    + rim * ${float(rig.rim)} * 0.5 * visible);
}`;

/** The head turns as one, the neck follows less and less down to the collar; the chest breathes. */
const POSE = /* glsl */ `
uniform mat3 headRotation;
uniform vec3 headPivot;
uniform vec2 neck;
uniform float breath;
uniform float follows;
float headShare(float y) { return follows * smoothstep(neck.x, neck.y, y); }
vec3 posed(vec3 p) {
  vec3 arm = p - headPivot;
  vec3 q = p + headShare(p.y) * (headRotation * arm - arm);
  float chest = 1.0 - smoothstep(neck.x - 0.02, neck.y, p.y);
  return q + breath * vec3(p.x * 0.008 * chest, 0.0014, 0.0022 * chest);
}`;

export function vertexShader(lighting: Lighting, rig: Rig): string {
  const shade = {
    lit: "vNormal = mix(normal, headRotation * normal, headShare(world.y)); vWorld = world.xyz; vLight = _light.xy;",
    baked: `vBaked = _light.rgb * _light.rgb * ${float(4 * rig.exposure)};`,
    painted: "",
  }[lighting];
  return /* glsl */ `
attribute vec4 _light;
attribute vec4 color;
varying vec2 vUv;
varying vec4 vColor;
varying vec3 vBaked;
varying vec3 vNormal;
varying vec3 vWorld;
varying vec2 vLight;
${POSE}
void main() {
  vec4 world = modelMatrix * vec4(position, 1.0);
  world.xyz = posed(world.xyz);
  gl_Position = projectionMatrix * viewMatrix * world;
  vUv = uv;
  vColor = color;
  ${shade}
}`;
}

export function fragmentShader(lighting: Lighting, rig: Rig, cutOut: boolean): string {
  const head = /* glsl */ `
varying vec2 vUv;
varying vec4 vColor;
varying vec3 vBaked;
varying vec3 vNormal;
varying vec3 vWorld;
varying vec2 vLight;
uniform sampler2D map;
uniform float hasMap;
${TONE}`;
  if (lighting === "painted") {
    return `${head}\nvoid main() { gl_FragColor = vec4(pow(vColor.rgb, vec3(1.0 / 2.2)), vColor.a); }`;
  }
  const shade =
    lighting === "lit"
      ? "light(normalize(vNormal), normalize(cameraPosition - vWorld), vLight.x, vLight.y, diffuse, shine); diffuse *= vColor.rgb;"
      : "diffuse = vBaked; shine = 0.0;";
  const alpha = cutOut
    ? "float alpha = clamp((texel.a - 0.5) / max(fwidth(texel.a), 1e-4) * 0.6 + 0.5, 0.0, 1.0); if (texel.a < 0.12) discard;"
    : "float alpha = 1.0;";
  return /* glsl */ `${head}
${lightSource(rig)}
void main() {
  vec4 texel = hasMap > 0.5 ? texture2D(map, vUv) : vec4(1.0);
  ${alpha}
  vec3 diffuse;
  float shine;
  ${shade}
  gl_FragColor = vec4(toneMap(linear(texel.rgb) * diffuse + shine), alpha);
}`;
}

/** A screen-filling radial gradient from `centre` to `edge`, dithered against banding. */
export const BACKDROP_VERTEX = /* glsl */ `
varying vec2 vUv;
void main() {
  vUv = vec2(uv.x, 1.0 - uv.y);
  gl_Position = vec4(position.xy, 0.0, 1.0);
}`;

export const BACKDROP_FRAGMENT = /* glsl */ `
varying vec2 vUv;
uniform float aspect;
uniform vec3 centre;
uniform vec3 edge;
uniform float opacity;
void main() {
  float t = clamp(length(vec2((vUv.x - 0.5) * aspect * 0.68, (vUv.y - 0.40) * 0.95)) / 0.82, 0.0, 1.0);
  float noise = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453) - 0.5;
  gl_FragColor = vec4(mix(centre, edge, t * t * (3.0 - 2.0 * t)) + noise / 255.0, opacity);
}`;
