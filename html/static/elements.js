/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Elements for any page of the same origin:
 *
 *     <script type="module" src="/static/elements.js"></script>
 *     <ngx-chat-box with="bob"></ngx-chat-box>
 *
 * docs/elements.md describes them.
 */

import { ChatButton } from './button.js';
import { ChatElement } from './element.js';
import { BOX, INBOX } from './markup.js';


/* Inbox and conversation. */
customElements.define('ngx-chat', class extends ChatElement {
  markup = INBOX;
});

/* One conversation. */
customElements.define('ngx-chat-box', class extends ChatElement {
  markup = BOX;
});

/* A button that opens one of them. */
customElements.define('ngx-chat-button', ChatButton);
