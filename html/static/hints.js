/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Notifications of /ws, which contain only the id of a message: the messages
 * are fetched.
 */

const BURST = 3;              // more messages are fetched by one request


export class Hints {
  #api;
  #on;                        // isKnown(id), message(message), catchUp(),
                              // attempt(), failed(attempt)
  #ids = new Set();           // not fetched yet
  #draining = false;

  constructor(api, on) {
    this.#api = api;
    this.#on = on;
  }

  add(id) {
    this.#ids.add(id);
    this.#drain();
  }

  async #drain() {
    if (this.#draining) {
      return;
    }

    this.#draining = true;

    while (this.#ids.size > 0) {
      const attempt = this.#on.attempt();
      const ids = [...this.#ids].filter((id) => !this.#on.isKnown(id));

      this.#ids.clear();

      try {
        if (ids.length > BURST) {
          await this.#on.catchUp();

        } else {
          (await Promise.all(ids.map((id) => this.#get(id))))
            .forEach((message) => message && this.#on.message(message));
        }

      } catch {
        this.#on.failed(attempt);
      }
    }

    this.#draining = false;
  }

  /* Resolves to a message, or to null if it has been deleted. */
  async #get(id) {
    try {
      return await this.#api.get(`message/${id}/`);

    } catch (error) {
      if (error.status === 404) {
        return null;
      }

      throw error;
    }
  }
}
