/** What is inside a `<visavis-avatar>`. */

const STYLE = `
:host { display: flex; flex-direction: column; gap: 8px; width: 100%; max-width: 480px; font: 16px/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
[part="stage"] { position: relative; flex: 1; aspect-ratio: var(--visavis-aspect, 4 / 3); min-height: 0; overflow: hidden; border-radius: 20px; background: radial-gradient(circle at 50% 40%, #c3ced8, #7f8d9b); isolation: isolate; }
[part="stage"] > :is(canvas, .live), [part="poster"] { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: cover; }
canvas, .live { opacity: 0; transition: opacity 0.5s; }
.visible { opacity: 1; }
[part="captions"] { position: absolute; inset: auto 12px 12px; margin: 0; color: #fff; text-align: center; text-wrap: balance; }
[part="captions"] span { padding: 2px 8px; border-radius: 8px; background: rgb(16 22 28 / 0.7); box-decoration-break: clone; -webkit-box-decoration-break: clone; }
[part="captions"]:empty { display: none; }
[part="spoken"] { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); margin: 0; }
[part="unlock"] { position: absolute; inset: auto auto 50% 50%; translate: -50% 50%; background: #12675f; color: #fff; }
[part="recorded"] { position: absolute; inset: 12px 12px auto auto; min-height: 32px; padding: 0 12px; border: 0; font-size: 13px; color: #fff; background: rgb(16 22 28 / 0.7); }
[part="controls"] { display: flex; gap: 8px; margin: 0; }
:host(:not([controls])) [part="controls"] { display: none; }
button, input { font: inherit; min-height: 44px; border: 1px solid #8c99a6; border-radius: 22px; padding: 0 16px; color: inherit; background: transparent; }
button { cursor: pointer; }
button:disabled { opacity: 0.45; cursor: default; }
input { flex: 1; min-width: 0; }
[part="microphone"] { touch-action: none; user-select: none; -webkit-user-select: none; }
[aria-pressed="true"] { background: #12675f; border-color: #12675f; color: #fff; }
:focus-visible { outline: 3px solid #12675f; outline-offset: 2px; }
[hidden] { display: none !important; }
@media (prefers-reduced-motion: reduce) { canvas, .live { transition: none; } }
`;

const HTML = `
<div part="stage">
  <slot name="poster"><img part="poster" alt=""></slot>
  <canvas part="canvas" aria-hidden="true"></canvas>
  <p part="captions" aria-hidden="true"></p>
  <p part="spoken" aria-live="polite"></p>
  <button part="unlock" type="button" hidden>Tap to hear</button>
  <button part="recorded" type="button" title="Don’t record" hidden>● Recorded</button>
  <slot></slot>
</div>
<form part="controls" autocomplete="off">
  <button part="microphone" type="button" aria-pressed="false" aria-label="Microphone" title="Tap, or hold while you speak">Speak</button>
  <input part="input" type="text" maxlength="4000" enterkeyhint="send" placeholder="Type a message" aria-label="Message">
  <button part="stop" type="button" aria-label="Stop speaking" disabled>Stop</button>
</form>`;

export interface Parts {
  stage: HTMLElement;
  poster: HTMLImageElement;
  canvas: HTMLCanvasElement;
  captions: HTMLElement;
  spoken: HTMLElement;
  unlock: HTMLButtonElement;
  recorded: HTMLButtonElement;
  controls: HTMLFormElement;
  microphone: HTMLButtonElement;
  input: HTMLInputElement;
  stop: HTMLButtonElement;
}

/** Fill a shadow root; its parts by name. */
export function fill(root: ShadowRoot): Parts {
  // A style sheet made by a script is allowed where a page's rules forbid <style>.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  root.innerHTML = HTML;
  const parts = [...root.querySelectorAll<HTMLElement>("[part]")].map((element) => [element.getAttribute("part"), element]);
  return Object.fromEntries(parts) as Parts;
}
