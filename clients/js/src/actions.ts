/** What an agent may have the client do, and what it is told of it. */

import type { TriggerAction } from "./protocol";

/** Does what an action asks for; what it returns, or resolves to, is told to the agent when it waits for it. */
export type ActionHandler = (arguments_: Record<string, unknown>) => unknown;

export type ActionResult = { type: "action_result"; callId: string } & ({ result: unknown } | { error: string });

export class Actions {
  private readonly handlers = new Map<string, ActionHandler>();

  /** Returns the function that takes the handler off again; the last one for a name counts. */
  on(name: string, handler: ActionHandler): () => void {
    this.handlers.set(name, handler);
    return () => {
      if (this.handlers.get(name) === handler) this.handlers.delete(name);
    };
  }

  has(name: string): boolean {
    return this.handlers.has(name);
  }

  /** Do it; null when nobody waits for what comes of it. */
  async perform({ function_name: name, arguments: given, callId }: TriggerAction): Promise<ActionResult | null> {
    const handler = this.handlers.get(name);
    const done = (what: { result: unknown } | { error: string }): ActionResult | null =>
      callId === undefined ? null : { type: "action_result", callId, ...what };
    if (!handler) return done({ error: `This client cannot do ${name}.` });
    try {
      return done({ result: (await handler(given ?? {})) ?? null });
    } catch (error) {
      if (callId === undefined) console.error(error);
      return done({ error: error instanceof Error && error.message ? error.message : String(error) });
    }
  }
}
