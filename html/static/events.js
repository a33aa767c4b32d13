/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Calls the handler of a notification: of its type in /events, or hint(id) for
 * the id of a message in /ws.  A socket of another user's session calls
 * foreign().  Unknown types are ignored.
 */
export function dispatch(text, me, handlers) {
  let event;

  try {
    event = JSON.parse(text) ?? {};

  } catch {
    return;
  }

  const { type, message } = event;

  if (type === undefined) {
    if (typeof message === 'string') {
      handlers.hint(Number(message));
    }

    return;
  }

  if (!concerns(event, me)) {
    handlers.foreign();
    return;
  }

  if (Object.hasOwn(handlers, type)) {
    handlers[type](event);
  }
}


function concerns({ type, message, ...event }, me) {
  const { user, recipient } = message ?? event;

  switch (type) {

  case 'message':
  case 'edited':
  case 'deleted':
    return [user, recipient].includes(me);

  case 'read':
    return [event.reader, event.sender].includes(me);

  default:
    return true;
  }
}
