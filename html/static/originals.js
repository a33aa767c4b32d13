/*
 * Copyright (C) ngx_chat contributors
 */

/* Messages that replies quote, and that are not loaded. */

export class Originals {
  #api;
  #store;
  #changed;
  #messages = new Map();      // ids -> messages, null if deleted, or undefined

  /** changed: called when a message has been loaded */
  constructor(api, store, changed) {
    this.#api = api;
    this.#store = store;
    this.#changed = changed;
  }

  /** A message; undefined while it is being loaded, null if it is deleted. */
  get(user, id) {
    if (this.#store.isDeleted(id)) {
      return null;
    }

    const loaded = this.#store.conversation(user).find(id);

    if (loaded) {
      return loaded;
    }

    if (!this.#messages.has(id)) {
      this.#messages.set(id, undefined);
      this.#fetch(id);
    }

    const found = this.#messages.get(id);

    return found && this.#store.current(found);
  }

  /** Messages that could not be loaded are requested again. */
  forget() {
    for (const [id, message] of this.#messages) {
      if (message === undefined) {
        this.#messages.delete(id);
      }
    }
  }

  async #fetch(id) {
    try {
      this.#messages.set(id, await this.#api.get(`message/${id}/`));

    } catch ({ status }) {
      if (status === 404) {
        this.#messages.set(id, null);
      }
    }

    this.#changed();
  }
}
