/*
 * Copyright (C) ngx_chat contributors
 */

/* The connections of a document: elements with the same base share one. */

import { Chat } from './chat.js';

const AGAIN = 3e3;            // shortest pause before another start, ms

const sessions = new Map();   // bases -> { chat, users, ready, ... }


/* Starts a session, also after failures. */
async function start(session) {
  const { chat } = session;

  try {
    await chat.start();
    session.ready = true;
    chat.dispatchEvent(new Event('ready'));

  } catch (error) {
    // otherwise the session has ended
    if (error.status !== 403 && chat.state !== 'stopped') {
      const pause = Math.max((error.retryAfter ?? 0) * 1000, AGAIN);

      session.error = error;
      chat.dispatchEvent(new Event('failing'));
      session.timer = setTimeout(start, pause, session);
    }
  }
}


/**
 * Returns the session of an address, { chat, ready, error, reason }.
 * Its chat also emits `ready`, and `failing` with an error.  A stopped one has a
 * reason.
 */
export function acquire(base) {
  let session = sessions.get(base.href);

  if (!session || session.chat.state === 'stopped') {
    const chat = new Chat(base);

    session = { chat, users: 0, ready: false, error: null,
                reason: 'ended', timer: 0 };
    sessions.set(base.href, session);
    chat.addEventListener('replaced', () => { session.reason = 'replaced'; });
    start(session);
  }

  session.users++;

  return session;
}


/** Ends the use of a session; the last one closes the connection. */
export function release(session) {
  session.users--;

  // an element that moves is removed and inserted again
  setTimeout(() => {
    if (session.users === 0) {
      clearTimeout(session.timer);
      session.chat.stop();
    }
  });
}
