// A list of channels as the fragment of an address: #list=res4f:12,res5c:7. An entry is "layer:channel".

import { model } from "../site.js";

const KEY = `residual-atlas list ${model}`; // of the session's list, one for each network

/** The entries that a fragment names; null where it holds no list. */
export function listOf(fragment) {
  const [, text] = /[#&]list=([^&]*)/.exec(fragment) ?? [];
  return text === undefined ? null : text.split(",").map(decoded).filter(Boolean);
}

// An address that was cut short may end in the middle of an encoded character.
function decoded(text) {
  try {
    return decodeURIComponent(text).trim();
  } catch {
    return text;
  }
}

/** The fragment that names these entries. */
export function fragmentOf(entries) {
  return `#list=${entries.map((entry) => encodeURIComponent(entry).replaceAll("%3A", ":")).join(",")}`;
}

/** The list of this session, as it was last changed in this tab. */
export function sessionList() {
  try {
    return listOf(sessionStorage.getItem(KEY) ?? "") ?? [];
  } catch {
    return []; // a browser that stores nothing
  }
}

/** Keep the list for the other pages of this session. */
export function keepList(entries) {
  try {
    sessionStorage.setItem(KEY, fragmentOf(entries));
  } catch {
    // The list then lasts as long as its page's address.
  }
}
