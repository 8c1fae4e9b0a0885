/** The script that a server offers as `static/visavis-avatar.js`: the element, talking to that server. */

import { define, VisavisAvatar } from "./element";

const here = import.meta.url; // written into the URL itself, the bundler would take ".." for a file to pack
VisavisAvatar.server = new URL("..", here).href;
define();
