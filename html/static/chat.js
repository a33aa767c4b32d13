/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The client library: everything but the page.
 *
 *     const chat = new Chat();
 *     chat.addEventListener('message', (event) => use(event.detail));
 *     await chat.start();
 *     await chat.older('bob');             // the latest messages with bob
 *     chat.conversation('bob').messages;   // oldest first
 *     chat.send('bob', 'Hello');
 *
 * docs/client.md tells it all.
 *
 * The server's database is the truth.  The socket only says "there is a message
 * 4711", and may lose even that: after each connect, a few times more at first,
 * and then once a minute, all since the last such time is asked for, by a
 * cursor.
 */

const TIMEOUT = 15e3;         // milliseconds for a request or a handshake
const WATCH = 60e3;           // between two looks at what the socket lost
const SETTLE = 1e3;           // from connecting to the first, then ever longer
const SLACKEN = 6;            // times as long
const STABLE = 10e3;          // a connection that lived so long was a good one
const BACKOFF = [500, 30e3];  // the first and the longest pause between tries
const BURST = 3;              // of more new messages, one request fetches all
const PAGE = 15;              // messages a page of history
const BATCH = 100;            // messages a request when catching up

const SENTENCES = {
  0: 'The server cannot be reached.',
  413: 'That is too long.',
  500: 'The server is not ready at the moment.',
};


/** A request that failed; `message` is a sentence for people. */
export class ChatError extends Error {

  /** status: of HTTP, 0 without an answer; retryAfter: seconds */
  constructor(status, answer, retryAfter = 0) {
    const [told] = Object.values(answer ?? {}).flat();

    super(status === 429
          ? `Too many tries. Please wait ${retryAfter || 'some'} ${
            retryAfter === 1 ? 'second' : 'seconds'}.`
          : SENTENCES[Math.min(status, 500)] ?? told ?? `Error ${status}.`);

    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** The same request may well succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}


class Conversation {
  user;             // the other one's name
  last = null;      // the latest message
  unread = 0;
  readId = 0;       // the latest message read

  opened = false;   // somebody asked for the messages
  messages = [];    // oldest first, none missing in between
  outbox = [];      // { clientId, user, body, timestamp, state, error }, the
                    // state is "pending" or "failed"
  more = true;      // there are older ones on the server
  loading = null;   // a promise, while a page is on its way
  error = null;     // why the last page did not come

  cursor = 'latest';
  sending = Promise.resolve();

  constructor(user) {
    this.user = user;
  }

  /* Where its id belongs; a second time does nothing. */
  add(message) {
    let at = this.messages.length;

    while (at > 0 && this.messages[at - 1].id > message.id) {
      at--;
    }

    if (this.messages[at - 1]?.id !== message.id) {
      this.messages.splice(at, 0, message);
    }
  }
}


/*
 * The ways to be told.  Each starts a connection, calls open() when a message
 * stored from now on will be announced, hint(text) for each and lost() at the
 * end, and returns a function that closes it.  Nothing is ever sent: the server
 * would hang up.
 */

const TRANSPORTS = [
  (url, on) => stream(new WebSocket(url.href.replace(/^http/, 'ws')), on),
  (url, on) => stream(new EventSource(url), on),
  longPoll,
];


function stream(source, on) {
  source.onopen = on.open;
  source.onmessage = ({ data }) => on.hint(data);
  source.onclose = source.onerror = on.lost;

  return () => source.close();
}


function longPoll(url, on) {
  const control = new AbortController();
  let timer;

  async function poll() {
    for ( ;; ) {
      // once this one waits, open() makes up for what came before it
      timer = setTimeout(on.open, 250);

      const response = await fetch(url, {
        cache: 'no-store',
        signal: control.signal,
      });

      if (response.ok) {
        on.hint(await response.text());

      } else if (response.status !== 304 && response.status !== 408) {
        throw new ChatError(response.status);
      }
    }
  }

  poll().catch(() => {
    clearTimeout(timer);
    on.lost();
  });

  return () => control.abort();
}


/*
 * Keeps one connection: tries again with growing, jittered pauses, and takes
 * the next transport when one twice did not open though the server was there.
 * A fallback that breaks leads back to the WebSocket.
 */
class Link {
  #url;
  #on;              // open(), hint(text), lost(), reachable()
  #attempt = null;  // callbacks of any other attempt are stale
  #close = null;
  #timer = 0;
  #tries = 0;
  #transport = 0;
  #refusals = 0;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  /** Connects now, in place of what there was. */
  connect() {
    this.#tries = 0;
    this.#try();
  }

  /** What is connected, or on its way to be. */
  get attempt() {
    return this.#attempt;
  }

  /** Gives this connection up, if it is still the one, but comes back. */
  fail(attempt = this.#attempt) {
    if (attempt && attempt === this.#attempt) {
      this.#lost(attempt);
    }
  }

  stop() {
    clearTimeout(this.#timer);
    this.#attempt = null;
    this.#close?.();
    this.#close = null;
  }

  #try() {
    this.stop();

    const attempt = this.#attempt = { opened: 0 };
    const current = (call) => (value) => {
      if (this.#attempt === attempt) {
        call(value);
      }
    };

    const lost = current(() => this.#lost(attempt));

    this.#timer = setTimeout(lost, TIMEOUT);

    try {
      this.#close = TRANSPORTS[this.#transport](this.#url, {
        open: current(() => {
          clearTimeout(this.#timer);
          attempt.opened ||= Date.now();
          this.#on.open();
        }),
        hint: current(this.#on.hint),
        lost,
      });

    } catch {
      // this browser lacks the transport
      queueMicrotask(lost);
    }
  }

  async #lost({ opened }) {
    this.stop();

    const pause = this.#attempt = {};

    this.#on.lost();

    if (opened) {
      this.#transport = this.#refusals = 0;

      if (Date.now() - opened > STABLE) {
        this.#tries = 0;
      }

    } else if (await this.#on.reachable() && ++this.#refusals === 2) {
      this.#transport = (this.#transport + 1) % TRANSPORTS.length;
      this.#refusals = 0;
    }

    if (this.#attempt !== pause) {
      return;
    }

    const delay = Math.min(BACKOFF[0] * 2 ** this.#tries++, BACKOFF[1]);

    this.#timer = setTimeout(() => this.#try(),
                             delay * (0.5 + Math.random() / 2));
  }
}


/**
 * One person's messages.
 *
 * Events, each a CustomEvent:
 *   change   there is something else to show
 *   message  a message has come that was not known here; it is the detail
 *   state    `state` has changed
 *   ended    the session is over
 */
export class Chat extends EventTarget {
  me = null;        // one's own name
  state = 'start';  // then "online" or "lost", at last "stopped"
  more = true;      // there are older conversations on the server

  #base;
  #link;
  #conversations = new Map();
  #spellings = new Map();  // names as asked for -> as the server writes them
  #inboxCursor = null;
  #cursor = null;          // all before it has been received
  #known = new Set();      // ids received; a few bytes each
  #hints = new Set();      // ids announced, not yet fetched
  #draining = false;
  #missed = Promise.resolve();
  #nextMissed = null;
  #watchdog = 0;
  #looks = 0;              // since there is this connection
  #stopped = new AbortController();

  /** base: where the site's /api/v1/ and /ws are */
  constructor(base = new URL('/', location.href)) {
    super();

    this.#base = base;
    this.#link = new Link(new URL('ws', base), {
      open: () => this.#connected(),
      hint: (text) => this.#hint(text),
      lost: () => this.#setState('lost'),
      reachable: () => this.catchUp().then(() => true, () => false),
    });
  }

  // ---- session

  login(username, password) {
    return this.#fetch('POST', 'session/', { username, password });
  }

  async logout() {
    await this.#request('DELETE', 'session/');
    this.stop();
  }

  async changePassword(oldPassword, newPassword) {
    try {
      await this.#fetch('POST', 'password/', {
        old_password: oldPassword,
        new_password: newPassword,
      });

    } catch (error) {
      // a wrong password, or the end of the session?
      if (error.status === 403) {
        await this.#get('session/');
      }

      throw error;
    }
  }

  /**
   * Loads who one is and the latest conversations, and stays connected.  Where
   * that fails it may be called again.
   */
  async start() {
    const { signal } = this.#stopped;

    this.me = (await this.#get('session/')).username;

    // first of all: what comes while the inbox loads is then caught up with
    this.#cursor = (await this.#get('message/', { after: 'latest' })).cursor;
    await this.moreConversations();

    if (signal.aborted) {
      return;
    }

    addEventListener('online', () => this.#wake(), { signal });
    addEventListener('offline', () => this.#link.fail(), { signal });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') {
        this.#wake();
      }
    }, { signal });

    this.#link.connect();
  }

  /** Leaves for good: there is no connection and no asking any more. */
  stop() {
    this.#setState('stopped');
    this.#stopped.abort();
    clearTimeout(this.#watchdog);
    this.#link.stop();
  }

  // ---- people and conversations

  /** Those loaded, latest first. */
  get conversations() {
    return [...this.#conversations.values()]
      .filter(({ last }) => last)
      .sort((a, b) => b.last.id - a.last.id);
  }

  get unread() {
    return this.conversations.reduce((sum, { unread }) => sum + unread, 0);
  }

  conversation(user) {
    const name = this.#spellings.get(user) ?? user;

    if (!this.#conversations.has(name)) {
      this.#conversations.set(name, new Conversation(name));
    }

    return this.#conversations.get(name);
  }

  /*
   * The server takes a name in upper or lower case.  Once an answer has told
   * how it writes this one, the conversation goes on as the one of that name.
   */
  #spelled(user, name) {
    const asked = this.conversation(user);

    if (asked.user === name) {
      return asked;
    }

    this.#conversations.delete(asked.user);
    this.#spellings.delete(name);
    this.#spellings.set(user, name);

    const found = this.conversation(name);

    found.outbox.push(...asked.outbox.splice(0));
    found.sending = Promise.all([found.sending, asked.sending]);

    if (asked.opened && !found.opened) {
      this.older(name);
    }

    return found;
  }

  /* Somebody new: perhaps one whose name was asked for in another case. */
  #reloadEmpty() {
    for (const { user, opened, messages } of this.#conversations.values()) {
      if (opened && messages.length === 0) {
        this.older(user);
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

  /** A page of the others, by name: { results: [{ username }], has_more } */
  people(search = '', after = '') {
    return this.#get('user/', { search, after, limit: 50 });
  }

  /** Loads the latest messages with somebody, then page by page older ones. */
  older(user) {
    const conversation = this.conversation(user);

    if (!conversation.loading) {
      conversation.opened = true;
      conversation.error = null;
      conversation.loading = this.#older(conversation);
      this.#emit('change');
    }

    return conversation.loading;
  }

  async #older(conversation) {
    try {
      const page = await this.#get('message/', {
        target: conversation.user,
        before: conversation.cursor,
        limit: PAGE,
      });

      const [latest] = page.results;
      const found = latest
        ? this.#spelled(conversation.user, this.#peer(latest)) : conversation;

      if (found === conversation) {
        page.results.forEach((message) => conversation.add(message));
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

  /** All of this conversation has been read. */
  async markRead(user) {
    const conversation = this.conversation(user);

    if (conversation.unread === 0) {
      return;
    }

    conversation.unread = 0;
    conversation.readId = conversation.last.id;
    this.#emit('change');

    // a mark that is lost now is made up for by the next one
    await this.#request('POST', `conversation/${encodeURIComponent(user)}/read`,
                        { id: conversation.readId }).catch(() => {});
  }

  // ---- sending

  /** The message is in the outbox until the server has stored it: this item. */
  send(user, body) {
    const item = {
      clientId: crypto.getRandomValues(new Uint32Array(4)).join('-'),
      user: this.me,
      body: body.trim(),
      timestamp: new Date().toISOString(),
    };

    this.conversation(user).outbox.push(item);
    this.#post(user, item);

    return item;
  }

  /** Tries a failed message again; it is stored once however often. */
  retry(user, item) {
    this.#post(user, item);
  }

  /** Takes a failed message out of the outbox. */
  withdraw(user, item) {
    const { outbox } = this.conversation(user);

    outbox.splice(outbox.indexOf(item), 1);
    this.#emit('change');
  }

  /* One after the other, so that they are stored in the order of writing. */
  #post(user, item) {
    const conversation = this.conversation(user);

    item.state = 'pending';
    this.#emit('change');

    conversation.sending = conversation.sending.then(async () => {
      try {
        const message = await this.#request('POST', 'message/', {
          recipient: user,
          body: item.body,
          client_id: item.clientId,
        });

        this.#spelled(user, message.recipient);
        this.withdraw(user, item);
        this.#store({ ...message, clientId: item.clientId });

      } catch (error) {
        item.state = 'failed';
        item.error = error;
      }

      this.#emit('change');
    });
  }

  #resend() {
    for (const { user, outbox } of this.#conversations.values()) {
      outbox.filter(({ state, error }) => state === 'failed' && error.passing)
        .forEach((item) => this.#post(user, item));
    }
  }

  // ---- receiving

  /**
   * Fetches what was missed; resolves to the number of new messages.  A call
   * while one is running waits for another round: that one may have looked too
   * early.
   */
  catchUp() {
    this.#nextMissed ??= this.#missed.catch(() => {}).then(() => {
      this.#nextMissed = null;
      this.#missed = this.#fetchMissed();

      return this.#missed;
    });

    return this.#nextMissed;
  }

  async #fetchMissed() {
    let count = 0;
    let page;

    do {
      page = await this.#get('message/', { after: this.#cursor, limit: BATCH });
      this.#cursor = page.cursor;

      const fresh = page.results.filter(({ id }) => !this.#known.has(id));

      count += fresh.length;
      fresh.forEach((message) => this.#receive(message));
    } while (page.has_more);

    this.#watch();

    return count;
  }

  /*
   * Scripts cannot see a socket's pings: news that it kept quiet must tell.  At
   * first it may for another reason: nchan takes a socket a moment before it
   * listens for it, and there is none between two long polls.
   */
  #watch() {
    clearTimeout(this.#watchdog);

    if (this.#stopped.signal.aborted) {
      return;
    }

    const pause = Math.min(SETTLE * SLACKEN ** this.#looks, WATCH);

    this.#watchdog = setTimeout(() => {
      const { attempt } = this.#link;

      this.#looks++;

      if (this.state === 'online') {
        this.catchUp().then(
          (count) => count && pause === WATCH && this.#link.connect(),
          () => this.#link.fail(attempt),
        );
      }
    }, pause * (0.8 + Math.random() * 0.4));
  }

  async #connected() {
    const { attempt } = this.#link;

    this.#looks = 0;
    this.#resend();

    try {
      await this.catchUp();

      // lost meanwhile, and perhaps there is another one
      if (this.#link.attempt !== attempt) {
        return;
      }

      this.#setState('online');

    } catch {
      this.#link.fail(attempt);
    }
  }

  /* The network is back, or somebody looks again. */
  async #wake() {
    if (this.state !== 'online') {
      this.#link.connect();
      return;
    }

    const { attempt } = this.#link;

    try {
      await this.catchUp();
      await this.#inbox();          // what was read elsewhere meanwhile
      this.#emit('change');

    } catch {
      this.#link.fail(attempt);
    }
  }

  #hint(text) {
    const [, id] = /"message": *"(\d+)"/.exec(text) ?? [];

    if (id) {
      this.#hints.add(Number(id));
      this.#drain();
    }
  }

  async #drain() {
    if (this.#draining) {
      return;
    }

    this.#draining = true;

    while (this.#hints.size > 0) {
      const { attempt } = this.#link;
      const ids = [...this.#hints].filter((id) => !this.#known.has(id));

      this.#hints.clear();

      try {
        if (ids.length > BURST) {
          await this.catchUp();

        } else {
          (await Promise.all(ids.map((id) => this.#get(`message/${id}/`))))
            .forEach((message) => this.#receive(message));
        }

      } catch {
        this.#link.fail(attempt);
      }
    }

    this.#draining = false;
  }

  /*
   * One's own message may come back before the answer to its POST, and only
   * that answer tells which of the outbox it is.
   */
  #receive(message) {
    const { outbox, sending } = this.conversation(this.#peer(message));

    if (message.user === this.me
        && outbox.some(({ state }) => state === 'pending'))
    {
      sending.then(() => this.#receive(message));
      return;
    }

    this.#store(message);
  }

  #store(message) {
    const conversation = this.conversation(this.#peer(message));
    const { messages, last } = conversation;
    const incoming = message.user !== this.me;

    if (this.#known.has(message.id)) {
      return;
    }

    this.#known.add(message.id);

    // one below the oldest here comes with its page of history
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
      // stored late: only the server knows whether it has been counted
      this.#inbox().then(() => this.#emit('change'), () => {});
    }

    this.#emit('message', message);
    this.#emit('change');
  }

  #peer({ user, recipient }) {
    return user === this.me ? recipient : user;
  }

  async #inbox(before) {
    const page = await this.#get('conversation/', {
      limit: 50,
      ...before && { before },
    });

    for (const row of page.results) {
      const conversation = this.conversation(row.user);

      // a message may have come while the answer was on its way
      if (!(conversation.last?.id > row.last_message.id)) {
        conversation.last = row.last_message;
        conversation.unread = row.unread;
        conversation.readId = row.read_id;
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

  #get(path, query = {}) {
    return this.#request('GET', `${path}?${new URLSearchParams(query)}`);
  }

  /* Of somebody who should be logged in. */
  async #request(method, path, data) {
    try {
      return await this.#fetch(method, path, data);

    } catch (error) {
      if (error.status === 403 && !this.#stopped.signal.aborted) {
        this.stop();
        this.#emit('ended');
      }

      throw error;
    }
  }

  async #fetch(method, path, data) {
    const headers = data && { 'Content-Type': 'application/json' };
    let response;
    let answer;

    try {
      response = await fetch(new URL(`api/v1/${path}`, this.#base), {
        method,
        headers,
        body: data && JSON.stringify(data),
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT),
      });

      answer = response.status === 204 ? null : await response.json();

    } catch {
      // no answer, half of one, or an error page in HTML
      if (!response || response.ok) {
        throw new ChatError(0);
      }
    }

    if (!response.ok) {
      // a date, which others than our server may send, is as good as nothing
      throw new ChatError(response.status, answer,
                          Number(response.headers.get('Retry-After')) || 0);
    }

    return answer;
  }
}
