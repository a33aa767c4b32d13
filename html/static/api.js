/*
 * Copyright (C) ngx_chat contributors
 */

/* Requests of the client library, as one user. */

import { ChatError } from './error.js';

const TIMEOUT = 15e3;         // ms
const MOMENT = 300;           // ms


export class Api {
  me = null;                  // name of the user, after the first request

  #base;
  #on;                        // ended(), replaced()

  /** base: URL that contains /api/v1/ */
  constructor(base, on) {
    this.#base = base;
    this.#on = on;
  }

  get(path, query = {}) {
    return this.request('GET', `${path}?${new URLSearchParams(query)}`);
  }

  /* Checks the current user, whom another tab may have changed. */
  async verify() {
    if (this.me !== null) {
      await this.get('session/');
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
      const { user, recipient, username, last_message: last } =
        row?.change === 'edited' ? row.message : row ?? {};

      return username ? username !== me    // a list of other users
             : last ? mine(last) && [last.user, last.recipient].includes(user)
             : !recipient || mine({ user, recipient });
    });
  }

  /* Makes a request of the user `me`; emits events if the user differs. */
  async request(method, path, data) {
    try {
      const answer = await this.fetch(method, path, data);

      if (this.me !== null && !this.#fits(answer, method)) {
        this.#on.replaced();
        throw new ChatError(409, { detail: 'Another user is logged in now.' });
      }

      return answer;

    } catch (error) {
      const { status } = error;

      if (status === 401 || (status === 403 && method === 'GET')) {
        await this.#refused();

      } else if (status === 403 || (status === 409 && method !== 'GET')) {
        // refused, or the session has ended or belongs to another user
        await this.verify();
      }

      throw error;
    }
  }

  /*
   * A login in another tab ends the session before the browser has the new
   * cookie.  After a moment, the session shows whether this was the reason.
   */
  async #refused() {
    let username;

    if (this.me !== null) {
      await new Promise((resolve) => { setTimeout(resolve, MOMENT); });

      try {
        ({ username } = await this.fetch('GET', 'session/'));

      } catch (error) {
        if (error.passing) {
          return;
        }
      }
    }

    if (!username) {
      this.#on.ended();

    } else if (username !== this.me) {
      this.#on.replaced();
    }
  }

  /* Makes a request, and rejects with a ChatError. */
  async fetch(method, path, data) {
    const headers = {
      ...data && { 'Content-Type': 'application/json' },
      ...method !== 'GET' && this.me !== null
        && { 'X-Chat-User': encodeURIComponent(this.me) },
    };
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
