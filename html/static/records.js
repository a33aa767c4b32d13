/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The records of one user in a storage.  A storage that fails is not used any
 * more, since the browser has blocked it or its disk is full: the library then
 * keeps everything as long as the page exists.
 */

const TIMEOUT = 3e3;          // of loading, ms


export class Records {
  working = true;

  #storage;
  #user = null;
  #waiting = new Map();       // keys -> values to be written
  #writing = null;

  constructor(storage) {
    this.#storage = storage;
  }

  /** Resolves to a Map of the records of a user, which put() changes. */
  async open(user) {
    this.#user = user;

    return await this.#try(this.load()) ?? new Map();
  }

  load() {
    return this.#storage.load(this.#user);
  }

  /** Stores a record; undefined removes it. */
  put(key, value) {
    this.#waiting.set(key, value);
    this.#writing ??= this.#write();
  }

  /** Resolves when everything has been written. */
  async written() {
    await this.#writing;
  }

  async #write() {
    // records of the same moment
    await null;

    while (this.working && this.#user !== null && this.#waiting.size > 0) {
      const [[key, value]] = this.#waiting;

      this.#waiting.delete(key);
      await this.#try(this.#storage.put(this.#user, key, value));
    }

    this.#writing = null;
  }

  async #try(promise) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('The storage is blocked.')),
                         TIMEOUT);
    });

    try {
      return await Promise.race([promise, late]);

    } catch {
      this.working = false;

    } finally {
      clearTimeout(timer);
    }
  }
}
