/*
 * Copyright (C) ngx_chat contributors
 */

/* The state of the client library: conversations and changes of messages. */

import { Conversation } from './conversation.js';


/* Tells whether a state of a message is later than another one. */
function isNewer({ edited_at: one = '' }, { edited_at: other = '' }) {
  return one > other;
}


export class Store {
  me = null;                  // name of the user
  conversations = new Map();

  #spellings = new Map();     // requested names -> names as stored
  #known = new Set();         // ids of received messages; a few bytes each
  #changes = new Map();       // ids -> edited messages, or null if deleted

  /** The conversation with a user. */
  conversation(user) {
    const name = this.#spellings.get(user) ?? user;

    if (!this.conversations.has(name)) {
      this.conversations.set(name, new Conversation(name));
    }

    return this.conversations.get(name);
  }

  /** Gives a conversation another name; returns the one with this name. */
  rename(conversation, user, name) {
    this.conversations.delete(conversation.user);
    this.#spellings.delete(name);
    this.#spellings.set(user, name);

    return this.conversation(name);
  }

  /** The other user of a message. */
  peer({ user, recipient }) {
    return user === this.me ? recipient : user;
  }

  /** Tells whether a message has been received. */
  has(id) {
    return this.#known.has(id);
  }

  seen(id) {
    this.#known.add(id);
  }

  isDeleted(id) {
    return this.#changes.get(id) === null;
  }

  /** Returns the latest known state of a message, null if it is deleted. */
  current(message) {
    const change = this.#changes.get(message.id);

    return change === null ? null
         : change && isNewer(change, message) ? { ...message, ...change }
         : message;
  }

  /** Applies a new state of a message; returns true if it is new. */
  edit(message) {
    const known = this.#changes.get(message.id);

    if (known === null || (known && !isNewer(message, known))) {
      return false;
    }

    this.#changes.set(message.id, message);
    this.conversation(this.peer(message)).replace(message);

    return true;
  }

  /** Removes a message; returns true if it was not removed before. */
  remove({ message_id: id, user, recipient }) {
    if (this.isDeleted(id)) {
      return false;
    }

    const conversation = this.conversation(this.peer({ user, recipient }));
    const { last, unread, readId } = conversation;

    this.#changes.set(id, null);
    conversation.remove(id);

    if (user !== this.me && id > readId && unread > 0) {
      conversation.unread--;
    }

    if (last?.id === id) {
      conversation.last = conversation.messages.at(-1) ?? null;
    }

    return true;
  }

  /**
   * `reader` has read the messages of `sender` up to an id.  Returns false if
   * the number of unread messages is unknown.
   */
  read({ reader, sender, id }) {
    if (sender === this.me) {
      const conversation = this.conversation(reader);

      conversation.peerReadId = Math.max(conversation.peerReadId, id);
    }

    if (reader === this.me) {
      const conversation = this.conversation(sender);

      if (id <= conversation.readId) {
        return true;
      }

      conversation.readId = id;

      if (conversation.last?.id > id) {
        return false;
      }

      conversation.unread = 0;
    }

    return true;
  }

  /**
   * Copies a row of the inbox, unless something later is known.  Returns false
   * if the server lacks the last read mark.
   */
  show(row) {
    const conversation = this.conversation(row.user);
    const { last, readId, peerReadId } = conversation;
    const latest = this.current(row.last_message);

    conversation.peerReadId = Math.max(peerReadId, row.peer_read_id ?? 0);
    conversation.setPresence(row);

    const marked = row.read_id >= readId;

    // a message may have arrived before the response
    if (latest && !(last?.id > latest.id)) {
      conversation.last = latest;

      if (marked) {
        conversation.unread = row.unread;
        conversation.readId = row.read_id;

      } else {
        conversation.unread = latest.id > readId ? row.unread : 0;
      }
    }

    return marked;
  }
}
