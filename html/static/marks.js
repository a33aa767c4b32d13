/*
 * Copyright (C) ngx_chat contributors
 */

/* Read marks that the server has not confirmed. */

import { pauseAfter } from './error.js';

const KEY = 'read ';


export class Marks {
  #api;
  #records;
  #signal;
  #ids = new Map();           // users -> ids
  #sending = false;
  #timer = 0;
  #tries = 0;

  constructor(api, records, signal) {
    this.#api = api;
    this.#records = records;
    this.#signal = signal;

    signal.addEventListener('abort', () => clearTimeout(this.#timer));
  }

  /** Restores marks; returns them as an array of [user, id]. */
  load(records) {
    for (const [key, id] of records) {
      if (key.startsWith(KEY)) {
        this.#ids.set(key.slice(KEY.length), id);
      }
    }

    return [...this.#ids];
  }

  /** Messages of a user have been read up to an id. */
  add(user, id) {
    if (!(this.#ids.get(user) >= id)) {
      this.#ids.set(user, id);
      this.#records.put(KEY + user, id);
    }

    return this.send();
  }

  /** Sends all marks; never rejects. */
  async send() {
    if (this.#sending) {
      return;
    }

    this.#sending = true;
    clearTimeout(this.#timer);

    while (this.#ids.size > 0 && !this.#signal.aborted) {
      const [[user, id]] = this.#ids;

      try {
        await this.#api.request('POST',
          `conversation/${encodeURIComponent(user)}/read`, { id });
        this.#tries = 0;

      } catch (error) {
        if (error.passing || this.#signal.aborted) {
          this.#later(error);
          break;
        }
      }

      // a later mark may have been added meanwhile
      if (this.#ids.get(user) === id) {
        this.#ids.delete(user);
        this.#records.put(KEY + user, undefined);
      }
    }

    this.#sending = false;
  }

  #later(error) {
    if (!this.#signal.aborted) {
      this.#timer = setTimeout(() => this.send(),
                               pauseAfter(error, this.#tries++));
    }
  }
}
