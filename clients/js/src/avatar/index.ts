export { ARKIT, arkitIndex } from "./arkit";
export type { Background } from "./head";
export type { AvatarState } from "./life";
export { AvatarView, type AvatarOptions } from "./view";
