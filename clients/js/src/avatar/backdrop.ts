import { Color, LinearSRGBColorSpace, Mesh, PlaneGeometry, ShaderMaterial } from "three";
import type { Background } from "./model";
import { BACKDROP_FRAGMENT, BACKDROP_VERTEX } from "./shaders";

/** A gradient over the whole picture: behind the avatar, or (as a curtain) in front of it while another one comes. */
export class Backdrop {
  readonly mesh: Mesh<PlaneGeometry, ShaderMaterial>;

  constructor(inFront: boolean) {
    const material = new ShaderMaterial({
      vertexShader: BACKDROP_VERTEX,
      fragmentShader: BACKDROP_FRAGMENT,
      uniforms: {
        aspect: { value: 1 },
        centre: { value: new Color() },
        edge: { value: new Color() },
        opacity: { value: 1 },
      },
      transparent: inFront,
      depthTest: false,
      depthWrite: false,
    });
    this.mesh = new Mesh(new PlaneGeometry(2, 2), material);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = inFront ? 100 : -1;
    this.mesh.visible = !inFront;
  }

  set(background: Background): void {
    // Colours go to the screen as they are: no conversion to linear light.
    this.uniform("centre").setStyle(background.centre, LinearSRGBColorSpace);
    this.uniform("edge").setStyle(background.edge, LinearSRGBColorSpace);
  }

  set aspect(value: number) {
    this.mesh.material.uniforms.aspect!.value = value;
  }

  set opacity(value: number) {
    this.mesh.material.uniforms.opacity!.value = value;
    this.mesh.visible = value > 0;
  }

  dispose(): void {
    this.mesh.geometry.dispose();
    this.mesh.material.dispose();
  }

  private uniform(name: "centre" | "edge"): Color {
    return this.mesh.material.uniforms[name]!.value as Color;
  }
}
