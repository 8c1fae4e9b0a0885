import { describe, expect, it, vi } from "vitest";
import { Actions } from "../src/actions";

const action = (name: string, extra: object = {}) =>
  ({ type: "trigger_action" as const, function_name: name, arguments: { id: 7 }, ...extra });

describe("actions", () => {
  it("give their handler the arguments, and nobody a result unless it is awaited", async () => {
    const actions = new Actions();
    const handler = vi.fn(() => "shown");
    actions.on("show", handler);
    expect(await actions.perform(action("show"))).toBeNull();
    expect(handler).toHaveBeenCalledWith({ id: 7 });
    expect(await actions.perform(action("show", { callId: "c" }))).toEqual({
      type: "action_result", callId: "c", result: "shown",
    });
  });

  it("wait for a promise", async () => {
    const actions = new Actions();
    actions.on("ask", async () => ({ chosen: 2 }));
    actions.on("nothing", async () => undefined);
    expect(await actions.perform(action("ask", { callId: "c" }))).toMatchObject({ result: { chosen: 2 } });
    expect(await actions.perform(action("nothing", { callId: "c" }))).toMatchObject({ result: null });
  });

  it("tell why there is no result", async () => {
    const actions = new Actions();
    actions.on("fail", () => { throw new Error("No screen."); });
    expect(await actions.perform(action("fail", { callId: "c" }))).toEqual({
      type: "action_result", callId: "c", error: "No screen.",
    });
    expect(await actions.perform(action("unknown", { callId: "c" }))).toMatchObject({
      error: "This client cannot do unknown.",
    });
    expect(await actions.perform(action("unknown"))).toBeNull();
  });

  it("can be taken off again", () => {
    const actions = new Actions();
    const off = actions.on("show", () => 1);
    const later = () => 2;
    actions.on("show", later);
    off();
    expect(actions.has("show")).toBe(true);
    actions.on("show", later)();
    expect(actions.has("show")).toBe(false);
  });
});
