/** The latency of one reply, cut into the segments that a person can understand. */

import { LEDGER_STAGES, type Ledger, type LedgerStage } from "./protocol";

export type SegmentName =
  "hearing" | "understanding" | "thinking" | "voice" | "face" | "network" | "speaker";

export interface Segment {
  name: SegmentName;
  /** Milliseconds. */
  ms: number;
  slow: boolean;
}

const ENDS: Partial<Record<LedgerStage, SegmentName>> = {
  endOfTurn: "hearing",
  transcript: "understanding",
  firstToken: "thinking",
  firstAudio: "voice",
  firstFrame: "face",
  sent: "network",
  played: "speaker",
};

/** Milliseconds above which a segment is worth a look. */
const SLOW: Record<SegmentName, number> = {
  hearing: 900, understanding: 350, thinking: 600, voice: 350, face: 100, network: 150, speaker: 300,
};

/**
 * Segments in the order in which they were waited for: each stage that was reached closes one. A server
 * that prepares its answer while it still listens reaches `endOfTurn` late; then the hearing comes late.
 * The first half of the round trip after sending is the network's, the rest the speaker's.
 */
export function segments(ledger: Ledger, roundTripMs: number): Segment[] {
  const order = LEDGER_STAGES.filter((stage) => ENDS[stage] && ledger[stage] !== undefined);
  order.sort((a, b) => ledger[a]! - ledger[b]!);
  const sums = new Map<SegmentName, number>();
  const add = (name: SegmentName, ms: number) => ms > 0 && sums.set(name, (sums.get(name) ?? 0) + ms);
  let before = ledger.speechEnd ?? 0;
  for (const stage of order) {
    const ms = ledger[stage]! - before;
    before = Math.max(before, ledger[stage]!);
    const travel = stage === "played" ? Math.min(Math.max(ms, 0), roundTripMs / 2) : 0;
    add("network", travel);
    add(ENDS[stage]!, ms - travel);
  }
  return [...sums].map(([name, ms]) => ({ name, ms: Math.round(ms), slow: ms > SLOW[name] }));
}
