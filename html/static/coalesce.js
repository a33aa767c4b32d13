/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Returns a function that starts an action, one at a time.  Calls during an
 * action share one further action, since the one in progress may have been too
 * early.
 */
export function coalesce(action) {
  let running = Promise.resolve();
  let next = null;

  return () => {
    next ??= running.catch(() => {}).then(() => {
      next = null;
      running = action();

      return running;
    });

    return next;
  };
}
