export type { ActionHandler } from "./actions";
export { BLENDSHAPES } from "./arkit";
export { AvatarChatClient, type ApiEvents, type AvatarChatOptions } from "./api/client";
export {
  ApiError, createSession, endSession, recastSession, videoAddress, type ApiSession, type SessionOutput, type SessionWish,
} from "./api/session";
export { MicrophoneButton, type MicrophoneButtonParts } from "./button";
export { captionLines, currentWord, type CaptionLine } from "./captions";
export {
  VisavisClient, type ClientEvents, type ClientOptions, type Connection, type ConnectionStatus,
} from "./client";
export { segments, type Segment, type SegmentName } from "./latency";
export {
  Microphone, MicrophoneError, listMicrophones, type MicrophoneEvents, type MicrophoneProblem,
} from "./microphone";
export {
  Player, type Playback, type PlayerEvents, type PlayerOptions, type PlayerStats, type Position, type ShownFrame,
} from "./player";
export type * from "./protocol";
export { address } from "./server";
export { chooseView, openTalk, type Talk, type TalkOptions, type View } from "./talk";
export { Tokens, type TokenSource } from "./tokens";
export { Turn, type Word } from "./turn";
export { LiveVideo } from "./video/live";
export { wav } from "./wav";
