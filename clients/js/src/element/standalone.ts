/** The script that a server offers as `static/visavis-avatar.js`: the element, talking to that server. */

import { define, VisavisAvatar } from "./element";

VisavisAvatar.server = new URL("..", import.meta.url).href;
define();
