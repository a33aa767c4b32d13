/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Storages of the client library.  A storage has the methods
 *
 *     load(user)              resolves to a Map of the records of a user
 *     put(user, key, value)   stores a record, or removes it if undefined
 *
 * which return promises.  Values can be copied by structuredClone().
 */

const STORE = 'records';


/** Keeps records as long as the object exists. */
export class MemoryStorage {
  #users = new Map();

  async load(user) {
    return structuredClone(this.#users.get(user) ?? new Map());
  }

  async put(user, key, value) {
    const records = this.#users.get(user) ?? new Map();

    this.#users.set(user, records);

    if (value === undefined) {
      records.delete(key);

    } else {
      records.set(key, structuredClone(value));
    }
  }
}


/** Keeps records in IndexedDB. */
export class BrowserStorage {
  #name;
  #opening = null;

  /** name: of the database */
  constructor(name) {
    this.#name = name;
  }

  async load(user) {
    const store = await this.#store('readonly');
    const range = IDBKeyRange.bound([user], [user, []]);
    const [keys, values] = await Promise.all([
      result(store.getAllKeys(range)),
      result(store.getAll(range)),
    ]);

    return new Map(keys.map(([, key], i) => [key, values[i]]));
  }

  async put(user, key, value) {
    const store = await this.#store('readwrite');

    await result(value === undefined ? store.delete([user, key])
                                     : store.put(value, [user, key]));
  }

  async #store(mode) {
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });

    return (await this.#opening).transaction(STORE, mode).objectStore(STORE);
  }

  async #open() {
    const request = indexedDB.open(this.#name, 1);

    request.onupgradeneeded = () => request.result.createObjectStore(STORE);

    const database = await result(request);

    // the browser closes it when the user deletes the data of the site
    database.onclose = () => { this.#opening = null; };
    database.onversionchange = () => {
      database.close();
      this.#opening = null;
    };

    return database;
  }
}


function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}
