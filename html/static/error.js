/*
 * Copyright (C) ngx_chat contributors
 */

/* Errors of the client library. */

const SENTENCES = {
  0: 'The server cannot be reached.',
  413: 'That is too long.',
  500: 'The server is not ready at the moment.',
};

const PAUSES = [1e3, 30e3];   // first and longest pause of repetitions, ms


/** The pause before a request is repeated, ms; tries: earlier failures */
export function pauseAfter({ retryAfter }, tries) {
  const pause = Math.min(PAUSES[0] * 2 ** tries, PAUSES[1]);

  return Math.max(retryAfter * 1e3, pause * (0.75 + Math.random() / 2));
}


/** A failed request; `message` is a sentence for users. */
export class ChatError extends Error {

  /** status: HTTP status, 0 without a response; retryAfter: seconds */
  constructor(status, answer, retryAfter = 0) {
    const [detail] = Object.values(answer ?? {}).flat();

    super(status === 429
          ? `Too many tries. Please wait ${retryAfter || 'some'} ${
            retryAfter === 1 ? 'second' : 'seconds'}.`
          : SENTENCES[Math.min(status, 500)] ?? detail ?? `Error ${status}.`);

    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** True if the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}
