/*
 * Copyright (C) ngx_chat contributors
 */

/* The login page.  Its form also works without this script. */

import { Chat } from './chat.js';
import { guardKeys } from './keys.js';
import { loadTexts } from './texts.js';

const form = document.querySelector('form');
const error = document.getElementById('error');
const button = form.querySelector('button');
const { username, password } = form.elements;
const texts = await loadTexts();

guardKeys(window);
texts.translate(document);
document.documentElement.lang = texts.language;
document.documentElement.dir = texts.direction;
document.title = texts.get('titleOfLogin');

if (error.textContent) {
  error.textContent = texts.error({ message: error.textContent });
}


/* The target of the redirect, which is always on this host. */
function target() {
  const wanted = new URLSearchParams(location.search).get('next') ?? '/';
  const url = URL.canParse(wanted, location.origin)
    ? new URL(wanted, location.origin)
    : new URL('/', location.origin);

  if (url.origin !== location.origin) {
    return new URL('/', location.origin);
  }

  // the server does not receive the fragment
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
    error.textContent = texts.error(failure);
    button.ariaDisabled = null;
    password.select();
  }
});


// the browser may cache the page, with the typed text, for the back button
addEventListener('pagehide', () => form.reset());
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
