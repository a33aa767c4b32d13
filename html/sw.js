/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The service worker of the page: makes it installable, and starts it without a
 * connection.  Files come from the network as long as it responds, so that an
 * upgrade and the end of a session take effect at once.  The cache contains
 * the page and the files of static/ only, no data of users.
 */

const CACHE = 'ngx-chat shell';
const PATIENCE = 5e3;         // with a copy, for the network, ms

const { scope } = self.registration;
const files = new URL('static/', scope).href;


/* The address of a file of the shell in the cache; null for other requests. */
function keyOf({ method, mode, url }) {
  const address = new URL(url);

  address.search = address.hash = '';

  if (method !== 'GET') {
    return null;
  }

  return mode === 'navigate' ? (address.href === scope ? scope : null)
       : address.href.startsWith(files) ? address.href : null;
}


/* A redirect, to the login page for example, is not a file. */
async function keep(key, response) {
  if (response.status === 200 && !response.redirected
      && response.type === 'basic')
  {
    const cache = await caches.open(CACHE);

    await cache.put(key, response);
  }
}


async function answer(event, key) {
  const copy = await caches.match(key);
  const network = fetch(event.request);

  event.waitUntil(network.then((response) => keep(key, response.clone()))
    .catch(() => {}));

  try {
    return await (copy ? Promise.race([
      network,
      new Promise((resolve, reject) => { setTimeout(reject, PATIENCE); }),
    ]) : network);

  } catch {
    return copy ?? Response.error();
  }
}


self.addEventListener('install', () => self.skipWaiting());

self.addEventListener('activate', (event) => {
  event.waitUntil(self.clients.claim());
});


self.addEventListener('fetch', (event) => {
  const key = keyOf(event.request);

  if (key) {
    event.respondWith(answer(event, key));
  }
});


/* The page was loaded before this worker: it names the files that it uses. */
self.addEventListener('message', (event) => {
  const wanted = [scope, ...event.data].filter((url) => url === scope
                                                        || url.startsWith(files));

  event.waitUntil(Promise.all(wanted.map(async (url) => {
    if (!await caches.match(url)) {
      await fetch(url).then((response) => keep(url, response), () => {});
    }
  })));
});


self.addEventListener('notificationclick', (event) => {
  event.notification.close();

  event.waitUntil(self.clients.matchAll({ type: 'window' }).then(([page]) => {
    const address = new URL(event.notification.data, scope).href;

    return page ? page.navigate(address).then((found) => found.focus())
                : self.clients.openWindow(address);
  }));
});
