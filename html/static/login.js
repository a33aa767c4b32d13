/*
 * Copyright (C) ngx_chat contributors
 */

/* The login page.  Without this script its form works by itself. */

import { Chat } from './chat.js';

const form = document.querySelector('form');
const error = document.getElementById('error');
const button = form.querySelector('button');
const { username, password } = form.elements;


/* Where to go then: a place on this host, whatever the address bar says. */
function target() {
  const wanted = new URLSearchParams(location.search).get('next') ?? '/';
  const url = URL.canParse(wanted, location.origin)
    ? new URL(wanted, location.origin)
    : new URL('/', location.origin);

  if (url.origin !== location.origin) {
    return new URL('/', location.origin);
  }

  // the server's redirect cannot see the fragment, but the browser keeps it
  url.hash ||= location.hash;

  return url;
}


form.addEventListener('submit', async (event) => {
  event.preventDefault();

  if (button.ariaDisabled) {
    return;
  }

  error.textContent = '';
  button.ariaDisabled = 'true';

  try {
    await new Chat().login(username.value.trim(), password.value);
    location.assign(target());

  } catch (failure) {
    error.textContent = failure.message;
    button.ariaDisabled = null;
    password.select();
  }
});
