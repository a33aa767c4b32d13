/*
 * Copyright (C) ngx_chat contributors
 */

/* Pages that contain nothing of the client but its library. */

import { eventually, open, url } from './helpers.mjs';

export const EMPTY = '<!DOCTYPE html><title>Empty</title>';


/*
 * Chromium does not know the address of a page that a test provides, and
 * therefore rejects its sockets to this machine.
 */
export function allow(found) {
  return found.context().grantPermissions(['local-network-access']);
}


/** Opens a page of a logged-in user with nothing of the client but chat.js. */
export async function page(person, html = EMPTY) {
  const found = await open(person);

  await allow(found);
  await found.route('**/own.html', (route) => route.fulfill({
    contentType: 'text/html; charset=utf-8',
    body: html,
  }));
  await found.goto(`${url}/own.html`);

  return found;
}


/** An empty page with `chat` and its `events`. */
export async function library(person) {
  const found = await page(person);

  await found.evaluate(async () => {
    const { Chat, ChatError } = await import('/static/chat.js');

    window.Chat = Chat;
    window.ChatError = ChatError;
    window.events = [];
    window.chat = new Chat();

    for (const type of ['change', 'message', 'edited', 'deleted', 'state',
                        'ended'])
    {
      window.chat.addEventListener(type, (event) => {
        window.events.push([type, event instanceof CustomEvent,
                            event.detail?.body ?? null, window.chat.state]);
      });
    }
  });

  return found;
}


/** Calls a method of `chat`; returns its value or its error. */
export function call(found, name, ...values) {
  return found.evaluate(async ([name, values]) => {
    try {
      return { value: await window.chat[name](...values) };

    } catch (error) {
      return { error: error instanceof window.ChatError, status: error.status,
               message: error.message, passing: error.passing,
               retryAfter: error.retryAfter };
    }
  }, [name, values]);
}


export function online(found) {
  return eventually(() => found.evaluate(() => window.chat.state === 'online'),
                    'the library is online');
}


export function happened(found, type) {
  return found.evaluate((type) => window.events
    .filter(([other]) => other === type), type);
}
