/** Compiled as a program for Node would be: `import` finds the package's types by Node's rules. */
import { AvatarChatClient, type ApiSession, createSession, VisavisClient } from "visavis";
import { Head } from "visavis/avatar";
import { define } from "visavis/element";
import { AvatarChat } from "visavis/react";

const session: ApiSession = await createSession("https://talk.example.org", { avatar: "elena" });
const api = new AvatarChatClient("https://talk.example.org", session.session_id);
api.on("audio_response", ({ sample_rate }) => sample_rate.toFixed());
const client = new VisavisClient({ server: "https://talk.example.org" });
client.on("avatar_state", ({ state }) => state satisfies string);
// @ts-expect-error: events are typed
client.on("nonsense", () => undefined);
export { AvatarChat, client, define, Head };
