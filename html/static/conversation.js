/*
 * Copyright (C) ngx_chat contributors
 */

/* A conversation of the client library, see docs/client.md. */

const SHOWN = 6e3;       // a typing event is displayed for this time, ms


export class Conversation {
  user;                  // name of the other user
  last = null;           // the latest message
  unread = 0;
  readId = 0;            // id of the latest message read by this user
  peerReadId = 0;        // id of the latest message read by the other user

  typing = false;        // the other user is typing
  online = null;         // the other user is connected; null if unknown
  lastSeenAt = null;     // timestamp, or null
  blocked = false;       // this user has blocked the other one

  opened = false;        // the page has called older()
  messages = [];         // oldest first, without gaps
  outbox = [];           // { clientId, user, body, timestamp, state, error },
                         // and reply_to
  draft = null;          // { body, replyTo }, or null
  more = true;           // the server has older messages
  loading = null;        // promise of the page in progress
  error = null;          // error of the last page

  cursor = 'latest';
  entries = [];          // unsent messages, see outbox.js
  timer = 0;             // of the next attempt to send
  typedAt = 0;           // time of the last typing request, ms
  typingTimer = 0;

  constructor(user) {
    this.user = user;
  }

  /* The position of a message, or of the first one after it. */
  position(id) {
    let [low, high] = [0, this.messages.length];

    while (low < high) {
      const middle = (low + high) >> 1;

      if (this.messages[middle].id < id) {
        low = middle + 1;

      } else {
        high = middle;
      }
    }

    return low;
  }

  /* Returns a loaded message, or undefined. */
  find(id) {
    const found = this.messages[this.position(id)];

    return found?.id === id ? found : undefined;
  }

  /* Inserts a message in the order of ids, unless it is present. */
  add(message) {
    if (!this.find(message.id)) {
      this.messages.splice(this.position(message.id), 0, message);
    }
  }

  /* Updates an edited message, if it is present. */
  replace(message) {
    const before = this.find(message.id);

    if (before) {
      this.messages[this.position(message.id)] = { ...before, ...message };
    }

    if (this.last?.id === message.id) {
      this.last = { ...this.last, ...message };
    }
  }

  /* Removes a message, if it is present. */
  remove(id) {
    if (this.find(id)) {
      this.messages.splice(this.position(id), 1);
    }
  }

  /* Lists the unsent messages, except those that have probably arrived. */
  listItems() {
    this.outbox.splice(0, Infinity,
      ...this.entries.filter(({ match }) => match === 0)
        .map(({ item }) => item));
  }

  /* Sets `typing`, and calls changed() now and when it ends. */
  setTyping(typing, changed) {
    const before = this.typing;

    clearTimeout(this.typingTimer);
    this.typing = typing;

    if (typing) {
      this.typingTimer = setTimeout(() => this.setTyping(false, changed),
                                    SHOWN);
    }

    if (typing !== before) {
      changed();
    }
  }

  /* Copies presence from an object of the API, if it contains it. */
  setPresence({ online, last_seen_at: lastSeenAt }) {
    if (online !== undefined) {
      this.online = online;
      this.lastSeenAt = lastSeenAt ?? null;
    }
  }
}
