export { define, VisavisAvatar, type AvatarEvents } from "./element";
