/*
 * Copyright (C) ngx_chat contributors
 */

/* The page: what the element <ngx-chat> leaves to the document around it. */

import './elements.js';

const element = document.querySelector('ngx-chat');
const icon = document.querySelector('link[rel=icon]');


/* The next user must not see data of this one. */
function hide() {
  document.documentElement.hidden = true;
  document.title = 'Chat';
}


element.addEventListener('update', ({ detail: { unread, user } }) => {
  const { texts } = element;
  const count = unread ? `(${unread}) ` : '';

  document.documentElement.lang = texts.language;
  document.documentElement.dir = texts.direction;
  document.title = count + (user ? texts.get('titleOfUser', { user })
                                 : texts.get('title'));
  icon.href = unread ? icon.href.replace(/icon\.svg$/, 'icon-unread.svg')
                     : icon.href.replace(/-unread/, '');

  // of the installed app; browsers may refuse it
  navigator.setAppBadge?.(unread).catch(() => {});
});


element.addEventListener('signedout', (event) => {
  event.preventDefault();
  hide();

  if (event.detail === 'replaced') {
    history.replaceState(null, '', location.pathname);
    location.reload();

  } else {
    const next = location.pathname + location.hash;
    const address = element.login;

    if (event.detail === 'ended') {
      address.search = new URLSearchParams({ next });
    }

    location.replace(address);
  }
});


/* Makes the page installable, and available without a connection. */
async function install() {
  const worker = navigator.serviceWorker;

  await worker.register('sw.js');

  const { active } = await worker.ready;

  active.postMessage(performance.getEntriesByType('resource')
    .map(({ name }) => name.split(/[?#]/)[0]));
}


// not before the page is usable; browsers refuse it on insecure sites
addEventListener('load', () => setTimeout(() => install().catch(() => {}), 2e3));

// the browser may keep the page for the back button
addEventListener('pagehide', ({ persisted }) => persisted && hide());
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
