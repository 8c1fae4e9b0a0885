import { expect, test } from "vitest";
import { spoken } from "../page/server";

test("the settings say which language the agent hears and speaks", () => {
  expect(spoken("pl")).toBe("It hears and speaks Polish.");
  expect(spoken("pt-BR")).toBe("It hears and speaks Brazilian Portuguese.");
  expect(spoken("detect")).toBe("It answers in the language that it hears.");
  expect(spoken(undefined)).toBe("");
});
