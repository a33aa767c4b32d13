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
 * A notification contains only the id of a message, and may be lost.  The
 * library therefore queries the messages after its cursor: after each connect,
 * a few more times shortly afterwards, and then once a minute.
 */

const TIMEOUT = 15e3;         // of a request or a handshake, ms
const WATCH = 60e3;           // longest interval of catching up, ms
const SETTLE = 1e3;           // first interval after a connect, ms
const SLACKEN = 6;            // factor of the following intervals
const STABLE = 10e3;          // age of a connection that resets the backoff, ms
const BACKOFF = [500, 30e3];  // first and longest pause between attempts, ms
const BURST = 3;              // more new messages are fetched by one request
const PAGE = 15;              // messages per page of the history
const BATCH = 100;            // messages per request when catching up

const SENTENCES = {
  0: 'The server cannot be reached.',
  413: 'That is too long.',
  500: 'The server is not ready at the moment.',
};


/** A failed request; `message` is a sentence for users. */
export class ChatError extends Error {

  /** status: HTTP status, 0 without a response; retryAfter: seconds */
  constructor(status, answer, retryAfter = 0) {
    const [detail] = Object.values(answer ?? {}).flat();

    super(status === 429
          ? `Too many tries. Please wait ${retryAfter || 'some'} ${
            retryAfter === 1 ? 'second' : 'seconds'}.`
          : SENTENCES[Math.min(status, 500)] ?? detail ?? `Error ${status}.`);

    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** True if the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}


class Conversation {
  user;             // name of the other user
  last = null;      // the latest message
  unread = 0;
  readId = 0;       // id of the latest read message

  opened = false;   // the page has called older()
  messages = [];    // oldest first, without gaps
  outbox = [];      // { clientId, user, body, timestamp, state, error };
                    // state is "pending" or "failed"
  more = true;      // the server has older messages
  loading = null;   // promise of the page in progress
  error = null;     // error of the last page

  cursor = 'latest';
  sending = Promise.resolve();

  constructor(user) {
    this.user = user;
  }

  /* Inserts a message in the order of ids, unless it is present. */
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
 * The transports of notifications.  Each starts a connection and returns a
 * function that closes it.  It calls open() when the server will send
 * notifications of new messages, hint(text) for each of them, and lost() at the
 * end.  It sends nothing, because the server would close the connection.
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
      // open() catches up with messages between two polls
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
 * Keeps one connection open.  It reconnects with growing, jittered pauses.  If
 * a transport fails to open twice although the server responds, the next one is
 * used.  After the loss of a fallback, WebSocket is used again.
 */
class Link {
  #url;
  #on;              // open(), hint(text), lost(), reachable()
  #attempt = null;  // callbacks of other attempts are ignored
  #close = null;
  #timer = 0;
  #tries = 0;
  #transport = 0;
  #refusals = 0;

  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  /** Connects at once, and closes an existing connection. */
  connect() {
    this.#tries = 0;
    this.#try();
  }

  /** The connection that is open or being opened. */
  get attempt() {
    return this.#attempt;
  }

  /** Closes the connection, if it is still the current one, and reconnects. */
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
      // the browser does not support the transport
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
 * The messages of a user.
 *
 * Events, each a CustomEvent:
 *   change    the displayed data has changed
 *   message   a new message has arrived; it is the detail
 *   state     `state` has changed
 *   ended     the session has ended
 *   replaced  another user is logged in
 */
export class Chat extends EventTarget {
  me = null;        // name of the user
  state = 'start';  // then "online" or "lost", finally "stopped"
  more = true;      // the server has older conversations

  #base;
  #link;
  #conversations = new Map();
  #spellings = new Map();  // requested names -> names as stored
  #inboxCursor = null;
  #cursor = null;          // all messages before it have been received
  #known = new Set();      // ids of received messages; a few bytes each
  #hints = new Set();      // ids of notifications, not fetched yet
  #draining = false;
  #missed = Promise.resolve();
  #nextMissed = null;
  #watchdog = 0;
  #looks = 0;              // periodic catch-ups on this connection
  #stopped = new AbortController();

  /** base: URL that contains /api/v1/ and /ws */
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
    await this.#verify();

    try {
      await this.#fetch('POST', 'password/', {
        old_password: oldPassword,
        new_password: newPassword,
      });

    } catch (error) {
      // a wrong password and an ended session have the same status
      if (error.status === 403) {
        await this.#get('session/');
      }

      throw error;
    }
  }

  /**
   * Loads the current user and the latest conversations, and stays connected.
   * It may be called again after a failure.
   */
  async start() {
    const { signal } = this.#stopped;

    this.me = (await this.#get('session/')).username;

    // before the inbox, so that catching up includes messages sent meanwhile
    this.#cursor = (await this.#get('message/', { after: 'latest' })).cursor;
    await this.moreConversations();

    if (signal.aborted) {
      return;
    }

    const look = () => this.#verify().catch(() => {});

    addEventListener('online', () => this.#wake(), { signal });
    addEventListener('offline', () => this.#link.fail(), { signal });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') {
        this.#wake();
      }
    }, { signal });
    addEventListener('focus', look, { signal });

    // the tabs of a browser share a session: each tab reports its start
    const tabs = new BroadcastChannel(`chat ${this.#base}`);

    signal.addEventListener('abort', () => tabs.close());
    tabs.onmessage = look;
    tabs.postMessage(null);

    this.#link.connect();
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
   * The server ignores the case of names.  When a response shows the stored
   * name, the conversation is merged into the one with this name.
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

  /* Reloads empty conversations, whose names may be spelled differently. */
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

  /** Other users, by name: { results: [{ username }], has_more } */
  people(search = '', after = '') {
    return this.#get('user/', { search, after, limit: 50 });
  }

  /** Loads the latest messages with a user, then older ones page by page. */
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

  /** Marks the conversation as read. */
  async markRead(user) {
    const conversation = this.conversation(user);

    if (conversation.unread === 0) {
      return;
    }

    conversation.unread = 0;
    conversation.readId = conversation.last.id;
    this.#emit('change');

    // the next mark corrects a lost one
    await this.#request('POST', `conversation/${encodeURIComponent(user)}/read`,
                        { id: conversation.readId }).catch(() => {});
  }

  // ---- sending

  /** Sends a message; returns its item of the outbox. */
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

  /** Sends a failed message again; the server stores it once. */
  retry(user, item) {
    this.#post(user, item);
  }

  /** Removes a failed message from the outbox. */
  withdraw(user, item) {
    const { outbox } = this.conversation(user);

    outbox.splice(outbox.indexOf(item), 1);
    this.#emit('change');
  }

  /* Sends after the previous messages of the conversation, in their order. */
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
   * Fetches missed messages; resolves to the number of new messages.  A call
   * during another one waits for a further request, since the one in progress
   * may have been too early.
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

    await this.#verify();

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

      // the connection was lost meanwhile, and may have been replaced
      if (this.#link.attempt !== attempt) {
        return;
      }

      this.#setState('online');

    } catch {
      this.#link.fail(attempt);
    }
  }

  /* The network is back, or the page is visible again. */
  async #wake() {
    if (this.state !== 'online') {
      this.#link.connect();
      return;
    }

    const { attempt } = this.#link;

    try {
      await this.catchUp();
      await this.#inbox();          // read marks of other devices
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
   * A message of this user may arrive before the response to its POST, which
   * identifies its item of the outbox.
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

      // a message may have arrived before the response
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

  #end(type) {
    if (!this.#stopped.signal.aborted) {
      this.stop();
      this.#emit(type);
    }
  }

  /* Checks the current user, whom another tab may have changed. */
  async #verify() {
    if (this.me !== null) {
      await this.#get('session/');
    }
  }

  /* Tells whether the users in a response are consistent with `me`. */
  #fits(answer, method) {
    const { me } = this;
    const mine = ({ user, recipient }) => user === me
      || (recipient === me && method === 'GET');

    if (answer?.username) {
      return answer.username === me;
    }

    return (answer?.results ?? [answer]).every((row) => {
      const { user, recipient, username, last_message: last } = row ?? {};

      return username ? username !== me    // a list of other users
             : last ? mine(last) && this.#peer(last) === user
             : !recipient || mine(row);
    });
  }

  /* Makes a request of the user `me`; emits events if the user differs. */
  async #request(method, path, data) {
    if (method !== 'GET') {
      await this.#verify();
    }

    try {
      const answer = await this.#fetch(method, path, data);

      if (this.me !== null && !this.#fits(answer, method)) {
        this.#end('replaced');
        throw new ChatError(409, { detail: 'Another user is logged in now.' });
      }

      return answer;

    } catch (error) {
      if (error.status === 403) {
        this.#end('ended');
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
      // no response, an incomplete one, or an error page in HTML
      if (!response || response.ok) {
        throw new ChatError(0);
      }
    }

    if (!response.ok) {
      // a date, which proxies may send, is ignored
      throw new ChatError(response.status, answer,
                          Number(response.headers.get('Retry-After')) || 0);
    }

    return answer;
  }
}
