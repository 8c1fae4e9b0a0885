export { ARKIT, arkitIndex } from "./arkit";
export type { Background } from "./model";
export type { AvatarState } from "./life";
export { Head, type HeadOptions } from "./head";
