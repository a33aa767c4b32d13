/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The client library: everything except the page.
 *
 *     const chat = new Chat();
 *     chat.addEventListener('message', (event) => use(event.detail));
 *     await chat.start();
 *     await chat.older('bob');             // the latest messages with bob
 *     chat.conversation('bob').messages;   // oldest first
 *     chat.send('bob', 'Hello');
 *
 * docs/client.md describes the interface.
 *
 * A notification may be lost.  The library therefore queries the messages and
 * changes after its cursor: after each connect, a few more times shortly
 * afterwards, and then once a minute.
 */

import { Api } from './api.js';
import { coalesce } from './coalesce.js';
import { ChatError, pauseAfter } from './error.js';
import { dispatch } from './events.js';
import { Hints } from './hints.js';
import { Link } from './link.js';
import { Marks } from './marks.js';
import { Originals } from './originals.js';
import { Outbox } from './outbox.js';
import { Records } from './records.js';
import { BrowserStorage, MemoryStorage } from './storage.js';
import { Store } from './store.js';
import { Tabs } from './tabs.js';

export { BrowserStorage, ChatError, MemoryStorage };

const WATCH = 60e3;           // longest interval of catching up, ms
const SETTLE = 1e3;           // first interval after a connect, ms
const SLACKEN = 6;            // factor of the following intervals
const PAGE = 15;              // messages per page of the history
const BATCH = 100;            // messages per request when catching up
const DRAFT = 'draft ';       // prefix of records
const TYPING = 3e3;           // interval of typing requests, ms


/**
 * The messages of a user.
 *
 * Events, each a CustomEvent:
 *   change    the displayed data has changed
 *   message   a new message has arrived; it is the detail
 *   edited    a message has been edited; it is the detail
 *   deleted   a message has been deleted; the detail contains its message_id
 *   state     `state` has changed
 *   ended     the session has ended
 *   replaced  another user is logged in
 */
export class Chat extends EventTarget {
  me = null;        // name of the user
  state = 'start';  // then "online" or "lost", finally "stopped"
  more = true;      // the server has older conversations

  #base;
  #api;
  #link;
  #hints;
  #originals;
  #records;
  #marks;
  #outbox;
  #tabs;
  #store = new Store();
  #inboxCursor = null;
  #cursor = null;          // all messages before it have been received
  #events = {
    hint: (id) => this.#hints.add(id),
    message: ({ message }) => this.#keep(message),
    edited: ({ message }) => this.#edited(message),
    deleted: (change) => this.#deleted(change),
    read: (mark) => this.#read(mark),
    typing: ({ user }) => this.conversation(user)
      .setTyping(true, () => this.#emit('change')),
    presence: (event) => {
      this.conversation(event.user).setPresence(event);
      this.#emit('change');
    },
    resync: () => this.#wake(),
    foreign: () => this.#end('replaced'),
  };
  #catchUp = coalesce(() => this.#fetchMissed());
  #refresh = coalesce(() => this.#inbox().then(() => this.#emit('change')));
  #watchdog = 0;
  #looks = 0;              // periodic catch-ups on this connection
  #connections = 0;
  #started = null;         // name of the user whose records are loaded
  #stopped = new AbortController();

  /**
   * base: URL that contains /api/v1/ and /events
   * storage: of drafts and unsent messages, see storage.js
   */
  constructor(base = new URL('/', location.href), {
    storage = globalThis.indexedDB ? new BrowserStorage(`chat ${base}`)
                                   : new MemoryStorage(),
  } = {}) {
    super();

    const { signal } = this.#stopped;

    this.#base = base;
    this.#api = new Api(base, {
      ended: () => this.#end('ended'),
      replaced: () => this.#end('replaced'),
    });
    this.#link = new Link(base, {
      open: () => this.#connected(),
      text: (text) => dispatch(text, this.me, this.#events),
      lost: () => this.#setState('lost'),
      reachable: () => this.catchUp().then(() => true, () => false),
    });
    this.#hints = new Hints(this.#api, {
      isKnown: (id) => this.#store.has(id),
      message: (message) => this.#keep(message),
      catchUp: () => this.catchUp(),
      attempt: () => this.#link.attempt,
      failed: (attempt) => this.#recover(attempt),
    });
    this.#tabs = new Tabs(base, {
      started: () => this.#api.verify().catch(() => {}),
      takeOver: (id) => this.#takeOver(id),
    }, signal);
    this.#records = new Records(storage);
    this.#marks = new Marks(this.#api, this.#records, signal);
    this.#outbox = new Outbox({
      api: this.#api,
      store: this.#store,
      records: this.#records,
      owner: this.#tabs.id,
    }, {
      changed: () => this.#emit('change'),
      stored: (user, message) => {
        this.#spelled(user, message.recipient);
        this.#keep(message);
      },
    }, signal);
    this.#originals = new Originals(this.#api, this.#store,
                                    () => this.#emit('change'));
  }

  // ---- session

  login(username, password) {
    return this.#api.fetch('POST', 'session/', { username, password });
  }

  async logout() {
    await this.#api.request('DELETE', 'session/');
    this.stop();
  }

  async changePassword(oldPassword, newPassword) {
    // the password is not sent with the session of another user
    await this.#api.verify();
    await this.#api.request('POST', 'password/', {
      old_password: oldPassword,
      new_password: newPassword,
    });
  }

  /**
   * Loads the current user and the latest conversations, and stays connected.
   * It may be called again after a failure.
   */
  async start() {
    const { signal } = this.#stopped;
    const { username } = await this.#api.get('session/');

    this.me = this.#api.me = this.#store.me = username;

    if (this.#started !== username) {
      await this.#restore();
      this.#started = username;
    }

    // before the inbox, so that catching up includes messages sent meanwhile
    const { cursor } = await this.#api.get('message/', { after: 'latest' });

    this.#cursor = cursor;
    await this.moreConversations();

    if (signal.aborted) {
      return;
    }

    const look = () => this.#api.verify().catch(() => {});

    addEventListener('online', () => this.#wake(), { signal });
    addEventListener('offline', () => this.#link.fail(), { signal });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') {
        this.#wake();
      }
    }, { signal });
    addEventListener('focus', look, { signal });

    this.#tabs.start();
    this.#outbox.start();
    this.#marks.send();
    this.#link.connect();
  }

  /* Loads drafts, read marks, and unsent messages of pages that have gone. */
  async #restore() {
    const records = await this.#records.open(this.me);

    for (const [key, draft] of records) {
      if (key.startsWith(DRAFT)) {
        this.conversation(key.slice(DRAFT.length)).draft ??= draft;
      }
    }

    for (const [user, id] of this.#marks.load(records)) {
      this.#store.read({ reader: this.me, sender: user, id });
    }

    for (const owner of this.#outbox.load(records, this.#tabs.id)) {
      this.#tabs.watch(owner);
    }
  }

  async #takeOver(owner) {
    try {
      this.#outbox.load(await this.#records.load(), owner);
      await this.#records.written();

    } catch {
      // the storage is blocked
    }
  }

  /** False if the browser does not keep drafts and unsent messages. */
  get persistent() {
    return this.#records.working;
  }

  /** Closes the connection and makes no more requests. */
  stop() {
    this.#setState('stopped');
    this.#stopped.abort();
    clearTimeout(this.#watchdog);
    this.#link.stop();
  }

  // ---- users and conversations

  /** The loaded conversations, latest first. */
  get conversations() {
    const order = ({ last }) => last?.id ?? Number.MAX_SAFE_INTEGER;

    return [...this.#store.conversations.values()]
      .filter(({ last, draft, outbox }) => last || draft || outbox.length > 0)
      .sort((a, b) => order(b) - order(a));
  }

  get unread() {
    return this.conversations.reduce((sum, { unread }) => sum + unread, 0);
  }

  conversation(user) {
    return this.#store.conversation(user);
  }

  /*
   * The server ignores the case of names.  When a response shows the stored
   * name, the conversation is merged into the one with this name.
   */
  #spelled(user, name) {
    const asked = this.conversation(user);

    if (asked.user === name) {
      return asked;
    }

    const found = this.#store.rename(asked, user, name);

    found.entries.push(...asked.entries.splice(0));
    found.listItems();

    if (asked.draft) {
      this.#records.put(DRAFT + asked.user, undefined);
      this.setDraft(name, (found.draft ?? asked.draft).body,
                    found.draft ?? asked.draft);
    }

    if (asked.opened && !found.opened) {
      this.older(name);
    }

    return found;
  }

  /* Reloads empty conversations, whose names may be spelled differently. */
  #reloadEmpty() {
    for (const conversation of this.#store.conversations.values()) {
      if (conversation.opened && conversation.messages.length === 0) {
        this.older(conversation.user);
      }
    }
  }

  /** Loads the next, older page of the inbox. */
  async moreConversations() {
    const page = await this.#inbox(this.#inboxCursor);

    this.#inboxCursor = page.cursor;
    this.more = page.has_more;
    this.#emit('change');
  }

  /** Other users, by name: { results: [{ username }], has_more } */
  async people(search = '', after = '') {
    const page = await this.#api.get('user/', { search, after, limit: 50 });

    for (const row of page.results) {
      this.conversation(row.username).setPresence(row);
    }

    return page;
  }

  /** Loads the latest messages with a user, then older ones page by page. */
  older(user, limit = PAGE) {
    const conversation = this.conversation(user);

    if (!conversation.loading) {
      conversation.opened = true;
      conversation.error = null;
      conversation.loading = this.#older(conversation, limit);
      this.#emit('change');
    }

    return conversation.loading;
  }

  async #older(conversation, limit) {
    try {
      const page = await this.#api.get('message/', {
        target: conversation.user,
        before: conversation.cursor,
        limit,
      });

      const [latest] = page.results;
      const found = latest
        ? this.#spelled(conversation.user, this.#store.peer(latest))
        : conversation;

      if (found === conversation) {
        page.results.map((message) => this.#store.current(message))
          .forEach((message) => message
            && conversation.add(this.#outbox.claim(message)));
        conversation.cursor = page.cursor ?? conversation.cursor;
        conversation.more = page.has_more;

      } else {
        await found.loading;
      }

    } catch (error) {
      conversation.error = error;
    }

    conversation.loading = null;
    this.#emit('change');
  }

  /**
   * Loads older messages up to a message.  Resolves to the message, or to null
   * if there is none.
   */
  async find(user, id) {
    for ( ;; ) {
      const { messages, more } = this.conversation(user);

      if (!more || messages[0]?.id <= id) {
        return this.conversation(user).find(id) ?? null;
      }

      await this.older(user, BATCH);

      const { error } = this.conversation(user);

      if (error) {
        throw error;
      }
    }
  }

  /**
   * Returns a message of a conversation: undefined while it is being loaded,
   * null if it has been deleted.
   */
  original(user, id) {
    return this.#originals.get(user, id);
  }

  /** Messages with a text, latest first: { results, has_more, cursor } */
  search(text, { user, before } = {}) {
    return this.#api.get('message/', {
      search: text,
      limit: 50,
      ...user && { target: user },
      ...before && { before },
    });
  }

  /** Marks the messages of a conversation up to an id, or all, as read. */
  async markRead(user, id = Infinity) {
    const conversation = this.conversation(user);
    const { messages, last, unread, readId } = conversation;
    const upTo = Math.min(id, last?.id ?? 0);

    if (unread === 0 || upTo <= readId) {
      return;
    }

    conversation.readId = upTo;
    conversation.unread = upTo === last.id ? 0
      : messages.filter((message) => message.id > upTo
                                     && message.user !== this.me).length;
    this.#emit('change');

    await this.#marks.add(conversation.user, conversation.readId);
  }

  // ---- sending

  /** Sends a message; returns its item of the outbox. */
  send(user, body, { replyTo } = {}) {
    const item = {
      clientId: crypto.getRandomValues(new Uint32Array(4)).join('-'),
      user: this.me,
      body: body.trim(),
      timestamp: new Date().toISOString(),
      ...replyTo && { reply_to: replyTo },
    };

    this.conversation(user).typedAt = 0;
    this.#outbox.add(user, item);

    return item;
  }

  /** Sends a failed message again; the server stores it once. */
  retry(user, item) {
    this.#outbox.retry(user, item);
  }

  /** Removes a message from the outbox; returns true if it was there. */
  withdraw(user, item) {
    return this.#outbox.withdraw(user, item);
  }

  /**
   * Keeps a text that the user has begun to write; an empty one is removed.
   * Emits `change` only if the conversation had none, or has none now.
   */
  setDraft(user, body, { replyTo } = {}) {
    const conversation = this.conversation(user);
    const { draft } = conversation;

    conversation.draft = body.trim() ? { body, ...replyTo && { replyTo } }
                                     : null;

    if (conversation.draft?.body !== draft?.body
        || conversation.draft?.replyTo !== draft?.replyTo)
    {
      this.#records.put(DRAFT + conversation.user,
                        conversation.draft ?? undefined);
    }

    if (!conversation.draft !== !draft) {
      this.#emit('change');
    }
  }

  /** Replaces the text of a message of this user. */
  async edit({ id }, body) {
    const path = `message/${id}/`;
    const message = await this.#api.request('PATCH', path, { body });

    this.#edited(message);

    return message;
  }

  /** Deletes a message of this user, for both users. */
  async remove(message) {
    try {
      await this.#api.request('DELETE', `message/${message.id}/`);

    } catch (error) {
      // it has been deleted before, perhaps by an attempt without a response
      if (error.status !== 404) {
        throw error;
      }
    }

    this.#deleted({ ...message, message_id: message.id });
  }

  /** Reports that this user is typing; at most every three seconds. */
  async typing(user) {
    const conversation = this.conversation(user);

    if (this.state !== 'online' || user === this.me
        || Date.now() - conversation.typedAt < TYPING)
    {
      return;
    }

    conversation.typedAt = Date.now();

    const path = `conversation/${encodeURIComponent(user)}/typing/`;

    await this.#api.request('POST', path).catch(() => {});
  }

  // ---- blocking

  block(user) {
    return this.#block('PUT', user);
  }

  unblock(user) {
    return this.#block('DELETE', user);
  }

  async #block(method, user) {
    await this.#api.request(method, `block/${encodeURIComponent(user)}/`);
    this.conversation(user).blocked = method === 'PUT';
    this.#emit('change');
  }

  /** The blocked users, latest first: [{ username, since }] */
  async blocked() {
    const { results } = await this.#api.get('block/');

    for (const conversation of this.#store.conversations.values()) {
      conversation.blocked = false;
    }

    for (const { username } of results) {
      this.conversation(username).blocked = true;
    }

    this.#emit('change');

    return results;
  }

  // ---- receiving

  /** Fetches missed messages; resolves to the number of new ones. */
  catchUp() {
    return this.#catchUp();
  }

  async #fetchMissed() {
    let count = 0;
    let page;

    await this.#api.verify();

    do {
      page = await this.#api.get('message/', {
        after: this.#cursor,
        changes: 1,
        limit: BATCH,
      });
      this.#cursor = page.cursor;

      count += page.results.filter((row) => this.#fetched(row)).length;
    } while (page.has_more);

    this.#watch();

    return count;
  }

  /* Handles a message or a change; returns true if it is new. */
  #fetched(row) {
    if (row.change === undefined) {
      const isNew = !this.#store.has(row.id);

      this.#keep(row);

      return isNew;
    }

    return row.change === 'edited' ? this.#edited(row.message)
         : row.change === 'deleted' && this.#deleted(row);
  }

  /*
   * Catches up periodically.  A script cannot see the pings of a socket, so a
   * message without a notification shows that the socket is broken.  Shortly
   * after a connect this has other causes: nchan accepts a socket before it
   * subscribes it, and there is no socket between two long polls.
   */
  #watch() {
    clearTimeout(this.#watchdog);

    if (this.#stopped.signal.aborted) {
      return;
    }

    const pause = Math.min(SETTLE * SLACKEN ** this.#looks, WATCH);

    this.#watchdog = setTimeout(async () => {
      this.#looks++;

      if (this.state === 'online' && await this.#recover() > 0
          && pause === WATCH)
      {
        this.#link.connect();
      }
    }, pause * (0.8 + Math.random() * 0.4));
  }

  /*
   * Catches up while a connection lives.  A server that responds with an error
   * is asked again later.  Without two responses in a row, the connection is
   * broken, too.  Resolves to the number of new messages, or to -1 if the
   * connection has been lost.
   */
  async #recover(attempt = this.#link.attempt) {
    let silent = 0;

    for (let tries = 0; this.#link.attempt === attempt; tries++) {
      try {
        const count = await this.catchUp();

        return this.#link.attempt === attempt ? count : -1;

      } catch (error) {
        silent = error.status === 0 ? silent + 1 : 0;

        if (!error.passing || silent > 1) {
          this.#link.fail(attempt);
          return -1;
        }

        await new Promise((resolve) => {
          setTimeout(resolve, pauseAfter(error, tries));
        });
      }
    }

    return -1;
  }

  async #connected() {
    this.#looks = 0;
    this.#outbox.resume();
    this.#marks.send();
    this.#originals.forget();

    if (await this.#recover() >= 0) {
      if (this.#connections++ > 0) {
        this.#refresh().catch(() => {});
      }

      this.#setState('online');
    }
  }

  /* The network is back, or the page is visible again. */
  async #wake() {
    if (this.state !== 'online') {
      this.#link.connect();
      return;
    }

    this.#outbox.resume();
    this.#marks.send();

    if (await this.#recover() >= 0) {
      await this.#refresh().catch(() => {});
    }
  }

  #keep(received) {
    const current = this.#store.current(received);

    if (this.#store.has(received.id)) {
      return;
    }

    this.#store.seen(received.id);

    if (!current) {
      return;
    }

    const message = current.clientId ? current : this.#outbox.claim(current);

    const conversation = this.conversation(this.#store.peer(message));
    const { messages, last } = conversation;
    const incoming = message.user !== this.me;

    if (incoming) {
      conversation.setTyping(false, () => {});
    }

    // a message before the oldest loaded one belongs to an older page
    if (conversation.opened
        && !(conversation.more && message.id < messages[0]?.id))
    {
      conversation.add(message);
    }

    if (!last) {
      this.#reloadEmpty();
    }

    if (!last || message.id > last.id) {
      conversation.last = message;
      conversation.unread += incoming ? 1 : 0;

    } else if (incoming && message.id < last.id) {
      // committed late: the server knows whether it has been counted
      this.#refresh().catch(() => {});
    }

    this.#emit('message', message);
    this.#emit('change');
  }

  /* Applies a change; returns true if it is new. */
  #edited(message) {
    const isNew = this.#store.edit(message);

    if (isNew) {
      this.#emit('edited', message);
      this.#emit('change');
    }

    return isNew;
  }

  #deleted({ message_id: id, user, recipient }) {
    const change = { message_id: id, user, recipient };
    const conversation = this.conversation(this.#store.peer(change));
    const wasLast = conversation.last?.id === id;
    const isNew = this.#store.remove(change);

    if (isNew) {
      this.#emit('deleted', change);
      this.#emit('change');

      if (wasLast) {
        this.#fetchLast(conversation);
      }

      // the server knows whether it has been counted
      if (user !== this.me && id > conversation.readId) {
        this.#refresh().catch(() => {});
      }
    }

    return isNew;
  }

  #read(mark) {
    if (!this.#store.read(mark)) {
      this.#refresh().catch(() => {});
    }

    this.#emit('change');
  }

  async #fetchLast(conversation) {
    if (conversation.last) {
      return;
    }

    try {
      const { results } = await this.#api.get('message/', {
        target: conversation.user,
        before: 'latest',
        limit: 1,
      });

      conversation.last ??= results[0] ? this.#store.current(results[0]) : null;
      this.#emit('change');

    } catch {
      // the next inbox request corrects it
    }
  }

  async #inbox(before) {
    const page = await this.#api.get('conversation/', {
      limit: 50,
      ...before && { before },
    });

    for (const row of page.results) {
      if (!this.#store.show(row)) {
        this.#marks.add(row.user, this.conversation(row.user).readId);
      }
    }

    return page;
  }

  // ---- common

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #setState(state) {
    if (this.state !== state && !this.#stopped.signal.aborted) {
      this.state = state;
      this.#emit('state');
    }
  }

  #end(type) {
    if (!this.#stopped.signal.aborted) {
      this.stop();
      this.#emit(type);
    }
  }
}
