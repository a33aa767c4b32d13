/*
 * Copyright (C) ngx_chat contributors
 */

/* The state of the page that the library does not have. */

import { Chat } from './chat.js';

export const chat = new Chat();

export const page = {
  open: null,        // the displayed conversation, see openConversation()
  draw: () => {},    // updates the page soon, set by app.js
  route: () => {},   // opens the conversation in the address, set by app.js
};


/* Opens a conversation. */
export function go(user) {
  location.hash = `#/${encodeURIComponent(user)}`;
  page.route();
}
