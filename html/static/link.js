/*
 * Copyright (C) ngx_chat contributors
 */

/* The live connection of the client library. */

import { ChatError } from './error.js';

const TIMEOUT = 15e3;         // of a handshake, ms
const STABLE = 10e3;          // age of a connection that resets the backoff, ms
const BACKOFF = [500, 30e3];  // first and longest pause between attempts, ms

/*
 * Servers of earlier versions, and their configurations, have only the second
 * path, where notifications contain the id of a new message.
 */
const PATHS = ['events', 'ws'];


/*
 * The transports of notifications.  Each starts a connection and returns a
 * function that closes it.  It calls open() when the server will send
 * notifications, text(text) for each of them, and lost() at the end.  It sends
 * nothing, because the server would close the connection.
 */

const TRANSPORTS = [
  (url, on) => stream(new WebSocket(url.href.replace(/^http/, 'ws')), on),
  (url, on) => stream(new EventSource(url), on),
  longPoll,
];


function stream(source, on) {
  source.onopen = on.open;
  source.onmessage = ({ data }) => on.text(data);
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
        on.text(await response.text());

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


/* Tells whether the server certainly has no events at this address. */
async function isMissing(url) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), TIMEOUT);

  try {
    const { status, ok, headers } = await fetch(url, {
      headers: { Accept: 'text/event-stream' },
      cache: 'no-store',
      signal: control.signal,
    });
    const type = headers.get('Content-Type') ?? '';

    return status === 404 || (ok && !type.startsWith('text/event-stream'));

  } catch {
    return false;

  } finally {
    clearTimeout(timer);
    control.abort();
  }
}


/*
 * Keeps one connection open.  It reconnects with growing, jittered pauses.  If
 * a transport fails to open twice although the server responds, the next one is
 * used.  If the first path does not exist, the second one is.  After the loss
 * of a fallback, the first ones are used again.
 */
export class Link {
  #base;
  #on;              // open(), text(text), lost(), reachable()
  #attempt = null;  // callbacks of other attempts are ignored
  #close = null;
  #timer = 0;
  #tries = 0;
  #path = 0;
  #transport = 0;
  #refusals = 0;

  /** base: URL that contains the paths */
  constructor(base, on) {
    this.#base = base;
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

  get #url() {
    return new URL(PATHS[this.#path], this.#base);
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
        text: current(this.#on.text),
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
      this.#path = this.#transport = this.#refusals = 0;

      if (Date.now() - opened > STABLE) {
        this.#tries = 0;
      }

    } else if (await this.#on.reachable()) {
      await this.#choose();
    }

    if (this.#attempt !== pause) {
      return;
    }

    const delay = Math.min(BACKOFF[0] * 2 ** this.#tries++, BACKOFF[1]);

    this.#timer = setTimeout(() => this.#try(),
                             delay * (0.5 + Math.random() / 2));
  }

  /* Chooses the path and the transport after a refused handshake. */
  async #choose() {
    this.#refusals++;

    if (this.#path === 0 && await isMissing(this.#url)) {
      this.#path = 1;
      this.#refusals = 0;

    } else if (this.#refusals === 2) {
      this.#transport = (this.#transport + 1) % TRANSPORTS.length;
      this.#refusals = 0;
    }
  }
}
