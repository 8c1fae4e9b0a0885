import { MathUtils, PerspectiveCamera, Scene, WebGLRenderer } from "three";
import { COUNT } from "./arkit";
import { Backdrop } from "./backdrop";
import { drawing } from "./drawing";
import { frame } from "./framing";
import type { Background, Model } from "./model";
import { type AvatarState, Life } from "./life";
import { loadModel } from "./loader";
import { FrameBudget } from "./quality";
import { SpeechBlend } from "./speech";

export interface HeadOptions {
  /** Same seed, same life. */
  seed?: number;
  /** Blinks only, no sway; default: what the system prefers, followed when it changes. */
  reducedMotion?: boolean;
  /** Gradient behind the avatar; default: the one the avatar was made for. */
  background?: Background | null;
}

const FIELD_OF_VIEW = 20;
const NEUTRAL: Background = { centre: "#dfe5ea", edge: "#8c99a6" };
/** Seconds in which the curtain hides one head before it shows another. */
const CURTAIN = 0.18;
/** Longest step of time in one frame, seconds: a tab that was hidden must not jump. */
const LONGEST_STEP = 0.25;

/** A head on a canvas, alive when nobody speaks and moved by 52 ARKit weights when somebody does. */
export class Head {
  /** What is on screen now: 52 weights in ARKit order, 0..1, after life and blending. */
  readonly weights = new Float32Array(COUNT);

  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.05, 20);
  private readonly backdrop = new Backdrop(false);
  private readonly curtain = new Backdrop(true);
  private readonly budget: FrameBudget;
  private readonly life: Life;
  private readonly speech = new SpeechBlend();
  private readonly cleanups: (() => void)[] = [];
  private background: Background | null;
  private head: Model | null = null;
  private loading = new AbortController();
  private swap: { head: Model; shown: () => void } | null = null;
  private covered = 0;
  private state: AvatarState = "idle";
  private running = false;
  private request = 0;
  private lastRender: number | null = null;
  private lastTick: number | null = null;

  /** Takes the canvas over; throws an Error when WebGL does not work. Its size is its CSS size. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    options: HeadOptions = {},
  ) {
    const software = drawing() === "software";
    // Four samples a pixel double the time of a frame that the processor draws.
    this.renderer = new WebGLRenderer({ canvas, antialias: !software, powerPreference: "low-power" });
    this.budget = new FrameBudget(window.devicePixelRatio, software);
    this.background = options.background ?? null;
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.life = new Life(options.seed ?? 1, options.reducedMotion ?? still.matches);
    if (options.reducedMotion === undefined) {
      this.listen(still, "change", () => (this.life.reducedMotion = still.matches));
    }
    this.listen(document, "visibilitychange", () => this.schedule());
    this.listen(canvas, "webglcontextrestored", () => this.schedule());
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(canvas);
    this.cleanups.push(() => observer.disconnect());
    this.scene.add(this.backdrop.mesh, this.curtain.mesh);
    this.paintBackground();
    this.resize();
  }

  /**
   * Shows the head of a GLB file: one of ours, or any model with ARKit morph targets.
   *
   * Resolves when it is on screen; the head before stays until then. Rejects with an Error that says what is wrong
   * with the file, with the signal's reason, or with an AbortError when another head is asked for meanwhile.
   */
  async load(url: string, signal?: AbortSignal): Promise<void> {
    this.loading.abort(new DOMException("Another avatar was asked for.", "AbortError"));
    const loading = (this.loading = new AbortController());
    const either = signal ? AbortSignal.any([signal, loading.signal]) : loading.signal;
    const head = await loadModel(url, either);
    await this.renderer.compileAsync(head.object, this.camera, this.scene);
    if (either.aborted) {
      head.dispose();
      either.throwIfAborted();
    }
    if (!this.head || !this.visible) {
      this.attach(head);
      return;
    }
    this.finishSwap();
    await new Promise<void>((shown) => (this.swap = { head, shown }));
  }

  setState(state: AvatarState): void {
    this.state = state;
  }

  /** 52 weights in ARKit order for this instant, every display frame; null when nobody speaks: the mouth closes. */
  speak(weights: Float32Array | null): void {
    this.speech.speak(weights);
  }

  /** Changes the gradient behind the avatar; null is the one the avatar was made for. */
  setBackground(background: Background | null): void {
    this.background = background;
    this.paintBackground();
  }

  /** Fits the picture to the canvas' CSS size; called by itself when that changes. */
  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0) return;
    this.renderer.setPixelRatio(this.budget.pixelRatio);
    this.renderer.setSize(width, height, false);
    this.aim(width / height);
    if (this.lastRender !== null) this.render(this.lastRender);
  }

  /** Draws until `stop`; pauses by itself while the page is hidden. */
  start(): void {
    this.running = true;
    this.schedule();
  }

  stop(): void {
    this.running = false;
    this.schedule();
  }

  /** Draws one frame as of `now`, in milliseconds of `performance.now()`'s clock. */
  render(now: number): void {
    const seconds = this.lastRender === null ? 0 : MathUtils.clamp((now - this.lastRender) / 1000, 0, LONGEST_STEP);
    this.lastRender = now;
    this.life.update(now / 1000, this.state, this.speech.energy);
    this.speech.mix(this.life.weights, seconds, this.weights);
    this.drawCurtain(seconds);
    this.head?.show(this.weights, this.life.pose);
    if (!this.renderer.getContext().isContextLost()) this.renderer.render(this.scene, this.camera);
  }

  dispose(): void {
    this.loading.abort();
    this.stop();
    for (const cleanup of this.cleanups) cleanup();
    this.finishSwap();
    this.head?.dispose();
    this.backdrop.dispose();
    this.curtain.dispose();
    this.renderer.dispose();
  }

  private get visible(): boolean {
    return this.running && !document.hidden;
  }

  private schedule(): void {
    cancelAnimationFrame(this.request);
    this.lastTick = null;
    this.budget.settle();
    if (this.visible) this.request = requestAnimationFrame(this.tick);
    else this.finishSwap();
  }

  private readonly tick = (now: number): void => {
    this.request = requestAnimationFrame(this.tick);
    const elapsed = this.lastTick === null ? 0 : now - this.lastTick;
    // A few milliseconds of tolerance, or a 60 Hz display would miss every other chance.
    if (this.lastTick !== null && elapsed < this.budget.interval - 4) return;
    this.lastTick = now;
    if (this.budget.note(elapsed)) this.resize();
    this.render(now);
  };

  /** The curtain closes while a new head waits, and opens when it has taken its place. */
  private drawCurtain(seconds: number): void {
    const step = seconds / CURTAIN;
    this.covered = MathUtils.clamp(this.covered + (this.swap ? step : -step), 0, 1);
    if (this.covered === 1) this.finishSwap();
    this.curtain.opacity = this.covered;
  }

  private finishSwap(): void {
    if (!this.swap) return;
    const { head, shown } = this.swap;
    this.swap = null;
    this.attach(head);
    shown();
  }

  private attach(head: Model): void {
    if (this.head) {
      this.scene.remove(this.head.object);
      this.head.dispose();
    }
    this.head = head;
    this.scene.add(head.object);
    this.paintBackground();
    this.aim(this.camera.aspect);
    this.budget.settle();
  }

  private paintBackground(): void {
    const background = this.background ?? this.head?.background ?? NEUTRAL;
    this.backdrop.set(background);
    this.curtain.set(background);
  }

  private aim(aspect: number): void {
    this.backdrop.aspect = this.curtain.aspect = aspect;
    this.camera.aspect = aspect;
    if (this.head) {
      const { eyes } = this.head.subject;
      const { height, centreY } = frame(this.head.subject, aspect);
      const distance = height / 2 / Math.tan(MathUtils.degToRad(FIELD_OF_VIEW / 2));
      this.camera.position.set(eyes.x, centreY, eyes.z + distance);
      this.camera.near = distance / 20;
      this.camera.far = distance * 4;
    }
    this.camera.updateProjectionMatrix();
  }

  private listen(target: EventTarget, type: string, listener: () => void): void {
    target.addEventListener(type, listener);
    this.cleanups.push(() => target.removeEventListener(type, listener));
  }
}
