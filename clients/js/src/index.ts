export type { ActionHandler } from "./actions";
export { BLENDSHAPES } from "./arkit";
export { captionLines, currentWord, type CaptionLine } from "./captions";
export {
  VisavisClient, defaultUrl, type ClientEvents, type ClientOptions, type Connection, type ConnectionStatus,
} from "./client";
export { segments, type Segment, type SegmentName } from "./latency";
export {
  Microphone, MicrophoneError, listMicrophones, type MicrophoneEvents, type MicrophoneProblem,
} from "./microphone";
export {
  Player, type PlayerEvents, type PlayerOptions, type PlayerStats, type Position, type ShownFrame,
} from "./player";
export type * from "./protocol";
export { Turn, type Word } from "./turn";
export { wav } from "./wav";
