/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Unsent messages.  Those of a conversation are sent one after the other.
 * After a temporary error, they wait and are sent again with the same
 * idempotency key.
 *
 * An entry of a conversation has
 *
 *     item     the item of the outbox, see docs/client.md
 *     to       the name of the recipient, as requested
 *     after    id of the latest message when the item was created
 *     match    id of a message that probably is this item, or 0
 *     busy     a request is in progress
 *     due      time of the next attempt, ms
 *     firm     the server has set this time
 *     tries    attempts without a response that decides
 */

import { ChatError, pauseAfter } from './error.js';

const KEY = 'item ';


export class Outbox {
  #api;
  #store;
  #records;
  #owner;
  #on;                        // changed(), stored(user, message)
  #signal;
  #started = false;

  /** owner: id of this page */
  constructor({ api, store, records, owner }, on, signal) {
    this.#api = api;
    this.#store = store;
    this.#records = records;
    this.#owner = owner;
    this.#on = on;
    this.#signal = signal;
  }

  /** Sends the messages that were added before the user was known. */
  start() {
    this.#started = true;

    for (const { entries, user } of this.#store.conversations.values()) {
      for (const entry of entries) {
        entry.item.user = this.#store.me;
        this.#keep(entry);
      }

      this.#run(user);
    }
  }

  /**
   * Takes over the messages of a page in a Map of records.  Returns the ids of
   * other pages that have messages.
   */
  load(records, owner) {
    const all = [...records].filter(([key]) => key.startsWith(KEY))
      .map(([, record]) => record);

    all.filter((record) => record.owner === owner)
      .sort((a, b) => Date.parse(a.item.timestamp)
                      - Date.parse(b.item.timestamp))
      .forEach((record) => this.#restore(record));

    return new Set(all.map(({ owner }) => owner));
  }

  #restore({ to, after, item, failure }) {
    const { entries } = this.#store.conversation(to);

    if (entries.some((entry) => entry.item.clientId === item.clientId)) {
      return;
    }

    const entry = this.#entry(to, after, item);

    item.state = 'waiting';

    if (failure) {
      item.state = 'failed';
      item.error = new ChatError(failure.status, { detail: failure.message });
    }

    entries.push(entry);
    this.#keep(entry);
    this.#changed(entry);

    if (this.#started) {
      this.#run(to);
    }
  }

  #entry(to, after, item) {
    return { item, to, after, match: 0, busy: false, due: 0, firm: false,
             tries: 0 };
  }

  /** Adds an item, and sends it. */
  add(to, item) {
    const conversation = this.#store.conversation(to);
    const entry = this.#entry(to, conversation.last?.id ?? 0, item);

    item.state = 'pending';
    conversation.entries.push(entry);
    this.#keep(entry);
    this.#changed(entry);
    this.#run(to);
  }

  /** Sends an item again. */
  retry(to, { clientId }) {
    const entry = this.#find(to, clientId);

    if (entry && !entry.busy) {
      entry.item.state = 'pending';
      entry.due = 0;
      this.#keep(entry);
      this.#changed(entry);
      this.#run(to);
    }
  }

  /** Removes an item; returns true if it was present. */
  withdraw(to, { clientId }) {
    const entry = this.#find(to, clientId);

    if (entry) {
      this.#remove(entry);
    }

    return entry !== undefined;
  }

  /** The connection is back: sends what waits. */
  resume() {
    for (const { user, entries } of this.#store.conversations.values()) {
      for (const entry of entries) {
        if (!entry.firm) {
          entry.due = 0;
        }
      }

      this.#run(user);
    }
  }

  /**
   * Returns a received message of this user with the client id of its item.
   * The message hides the item, whose response may have been lost.  Another
   * attempt shows whether they are the same.
   */
  claim(message) {
    const { user, entries } =
      this.#store.conversation(this.#store.peer(message));
    const known = entries.find(({ match }) => match === message.id);

    if (known) {
      return { ...message, clientId: known.item.clientId };
    }

    const entry = message.user !== this.#store.me ? undefined
      : entries.find(({ item, after, match }) => match === 0
          && message.id > after && item.state !== 'failed'
          && item.body === message.body && item.reply_to === message.reply_to);

    if (!entry) {
      return message;
    }

    entry.match = message.id;
    entry.due = entry.firm ? entry.due : 0;
    this.#changed(entry);
    queueMicrotask(() => this.#run(user));

    return { ...message, clientId: entry.item.clientId };
  }

  #find(user, clientId) {
    return this.#store.conversation(user).entries
      .find(({ item }) => item.clientId === clientId);
  }

  /* Stores an entry, to be restored by this page or another one. */
  #keep({ to, after, item: { error, ...item } }) {
    if (this.#started || this.#store.me !== null) {
      this.#records.put(KEY + item.clientId, {
        owner: this.#owner,
        to,
        after,
        item,
        ...item.state === 'failed' && {
          failure: { status: error.status, message: error.message },
        },
      });
    }
  }

  #remove(entry) {
    const { entries } = this.#store.conversation(entry.to);

    entries.splice(entries.indexOf(entry), 1);
    this.#records.put(KEY + entry.item.clientId, undefined);
    this.#changed(entry);
    this.#run(entry.to);
  }

  #changed({ to }) {
    this.#store.conversation(to).listItems();
    this.#on.changed();
  }

  /* Sends the first item of a conversation, then the next ones. */
  async #run(user) {
    for ( ;; ) {
      const conversation = this.#store.conversation(user);
      const entry = conversation.entries
        .find(({ item }) => item.state !== 'failed');

      clearTimeout(conversation.timer);

      if (!entry || entry.busy || !this.#started || this.#signal.aborted) {
        return;
      }

      const pause = entry.due - performance.now();

      if (pause > 0) {
        this.#wait(conversation);
        conversation.timer = setTimeout(() => this.#run(user), pause);
        return;
      }

      entry.busy = true;
      entry.item.state = 'pending';
      this.#changed(entry);

      await this.#post(entry);
    }
  }

  /* The items behind a waiting one wait, too. */
  #wait({ entries }) {
    const pending = entries.filter(({ item }) => item.state === 'pending');

    pending.forEach(({ item }) => { item.state = 'waiting'; });

    if (pending.length > 0) {
      this.#on.changed();
    }
  }

  async #post(entry) {
    const { item, to } = entry;

    try {
      const message = await this.#api.request('POST', 'message/', {
        recipient: to,
        body: item.body,
        client_id: item.clientId,
        reply_to: item.reply_to,
      });

      this.#stored(entry, message);

    } catch (error) {
      entry.busy = false;
      this.#failed(entry, error);
    }
  }

  #stored(entry, message) {
    const { item, to, match } = entry;

    if (match !== 0 && match !== message.id) {
      // another device has sent the same text
      this.#store.conversation(to).replace({ id: match, clientId: undefined });
    }

    this.#on.stored(to, { ...message, clientId: item.clientId });

    // it may have been withdrawn
    if (this.#find(to, item.clientId)) {
      this.#remove(entry);
    }
  }

  #failed(entry, error) {
    const { item, to } = entry;

    item.error = error;

    if (!this.#find(to, item.clientId)) {
      return;
    }

    /*
     * The first 409 may mean another user.  The next one means that the message
     * was stored, and has been deleted.
     */
    if (error.status === 409 && entry.tries > 0 && !this.#signal.aborted) {
      this.#remove(entry);
      return;
    }

    if (error.passing || error.status === 401 || error.status === 409
        || this.#signal.aborted)
    {
      item.state = 'waiting';
      entry.due = performance.now() + pauseAfter(error, entry.tries++);
      entry.firm = error.retryAfter > 0;

    } else {
      item.state = 'failed';
      entry.match = 0;
      this.#keep(entry);
    }

    this.#changed(entry);
  }
}
