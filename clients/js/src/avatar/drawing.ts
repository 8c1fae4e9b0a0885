/** Names of renderers that run on the processor: Chromium's, Mesa's, Windows'. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Who draws WebGL 2 here: the graphics card, the processor, or nobody. */
export type Drawing = "hardware" | "software" | "none";

export function drawing(): Drawing {
  const context = document.createElement("canvas").getContext("webgl2");
  if (!context) return "none";
  const unmasked = context.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL;
  const name = String(context.getParameter(unmasked ?? context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return SOFTWARE.test(name) ? "software" : "hardware";
}
