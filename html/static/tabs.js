/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The pages of a user in one browser.  Each holds a lock with its id, so that
 * another one can take over its unsent messages when it has gone.  Browsers
 * have no locks on insecure sites: there, every page takes them over, and the
 * server stores each message once.
 */

export class Tabs {
  id = crypto.getRandomValues(new Uint32Array(4)).join('-');

  #name;
  #locks = globalThis.navigator?.locks;
  #channel = null;
  #on;                        // started(), takeOver(id)
  #signal;
  #watched = new Set();

  constructor(base, on, signal) {
    this.#name = `chat ${base}`;
    this.#on = on;
    this.#signal = signal;
  }

  start() {
    this.#watched.add(this.id);
    this.#lock(this.id, () => new Promise((resolve) => {
      this.#signal.addEventListener('abort', resolve);
    }));

    this.#channel = new BroadcastChannel(this.#name);
    this.#signal.addEventListener('abort', () => this.#channel.close());
    this.#channel.onmessage = ({ data: { id, isNew } }) => {
      if (isNew) {
        this.#channel.postMessage({ id: this.id, isNew: false });
        this.#on.started();
      }

      if (this.#locks) {
        this.watch(id);
      }
    };
    this.#channel.postMessage({ id: this.id, isNew: true });
  }

  /** Waits until a page has gone. */
  watch(id) {
    if (!this.#watched.has(id)) {
      this.#watched.add(id);
      this.#lock(id, () => this.#on.takeOver(id));
    }
  }

  async #lock(id, action) {
    if (!this.#locks) {
      if (id !== this.id) {
        await action();
      }

      return;
    }

    try {
      await this.#locks.request(`${this.#name} ${id}`,
                                { signal: this.#signal }, action);

    } catch {
      // stopped, or the browser denies locks
    }
  }
}
