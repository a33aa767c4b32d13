/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The web client, based on chat.js.  After each change, draw() updates the page
 * from the state of the library.  The fragment of the address names the open
 * conversation: "#/bob".  Texts of users are inserted as textContent, never as
 * HTML.
 */

import './actions.js';
import { drawComposer, joinDraft, keepDraft, showDraft } from './composer.js';
import { $, notice, setAvatar, setText } from './dom.js';
import './keys.js';
import { drawPeople, personNode, resumePeople } from './people.js';
import { chat, page } from './state.js';
import { atEnd, drawConversation, readSoon } from './talk.js';


// ---- drawing

let drawing = false;


/* Draws once for several changes, also in a hidden tab. */
function draw() {
  if (drawing || document.documentElement.hidden) {
    return;
  }

  drawing = true;

  queueMicrotask(() => {
    drawing = false;
    correctAddress();
    drawPeople();
    drawTitle();

    if (page.open) {
      drawConversation();
      drawComposer();
      readSoon();
    }
  });
}


function drawTitle() {
  const count = chat.unread ? `(${chat.unread}) ` : '';

  document.title = count + (page.open ? `${page.open.user} · Chat` : 'Chat');
}


// ---- opening and going back

function userInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(2));

  } catch {
    return '';
  }
}


function route() {
  const user = userInAddress();
  const before = page.open?.user;

  if (before) {
    keepDraft(before);
  }

  $('app').dataset.pane = user ? 'talk' : 'people';
  $('welcome').hidden = user !== '';
  $('conversation').hidden = user === '';

  if (user) {
    openConversation(user);

  } else {
    page.open = null;

    if (before) {
      personNode(before).firstElementChild.focus();
    }
  }

  draw();
}


/* Uses the name as stored, when it is known, and moves the draft. */
function correctAddress() {
  const user = page.open && chat.conversation(page.open.user).user;

  if (page.open && user !== page.open.user) {
    page.open.user = user;
    joinDraft(user);
    history.replaceState(null, '', `#/${encodeURIComponent(user)}`);
    route();
  }
}


function openConversation(user) {
  const { unread, readId } = chat.conversation(user);

  page.open = {
    user,
    unread,          // on opening, so that the separator does not move
    readId,
    below: 0,        // new messages below the view
    placed: false,   // scrolled to the first unread message
    found: null,     // id of the highlighted message
  };

  setAvatar($('with-avatar'), user);
  setText($('with'), user);
  setText($('silence-text'), `Say hello to ${user}.`);
  $('messages').replaceChildren();
  showDraft(user);

  // on a phone, the keyboard would cover the messages
  (matchMedia('(pointer: coarse)').matches ? $('with') : $('text')).focus();
}


addEventListener('hashchange', () => {
  if (userInAddress() !== (page.open?.user ?? '')) {
    route();
  }
});


// ---- account

$('logout').onclick = async () => {
  try {
    await chat.logout();
    leave('/login/');

  } catch (error) {
    notice(error.message);
  }
};

$('change-password').onclick = () => {
  $('menu').hidePopover();
  $('password').showModal();
};

$('password-cancel').onclick = () => $('password').close();

$('password').onclose = () => {
  $('password-form').reset();
  setText($('password-error'), '');
};

$('password-form').onsubmit = async (event) => {
  event.preventDefault();
  setText($('password-error'), '');

  try {
    await chat.changePassword($('old-password').value,
                              $('new-password').value);
    $('password').close();
    notice('Your password has been changed.');

  } catch (error) {
    setText($('password-error'), error.message);
  }
};


// ---- events of the library

chat.addEventListener('change', draw);

chat.addEventListener('message', ({ detail: message }) => {
  if (message.user === chat.me) {
    return;
  }

  if (message.user !== page.open?.user) {
    $('spoken').textContent = `New message from ${message.user}`;
    return;
  }

  $('spoken').textContent = `${message.user}: ${message.body}`;

  if (!atEnd()) {
    page.open.below++;
  }
});

let lostTimer = 0;

chat.addEventListener('state', () => {
  clearTimeout(lostTimer);

  if (chat.state === 'online') {
    $('lost').textContent = '';
    resumePeople();
    chat.blocked().catch(() => {});
    draw();

  } else if (chat.state === 'lost') {
    // short interruptions are not displayed
    lostTimer = setTimeout(() => {
      $('lost').textContent = navigator.onLine
        ? 'Connection lost. Reconnecting…'
        : 'You are offline.';
    }, 1500);
  }
});


/* The next user must not see data of this one. */
function hide() {
  document.documentElement.hidden = true;
  document.title = 'Chat';
}


function leave(address) {
  hide();
  location.replace(address);
}


chat.addEventListener('ended', () => {
  leave(`/login/?next=${encodeURIComponent(`/${location.hash}`)}`);
});

chat.addEventListener('replaced', () => {
  hide();
  history.replaceState(null, '', location.pathname);
  location.reload();
});

// the browser may keep the page for the back button
addEventListener('pagehide', ({ persisted }) => persisted && hide());
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());


async function start() {
  try {
    await chat.start();

  } catch (error) {
    if (error.status !== 403) {
      $('lost').textContent = `${error.message} Trying again…`;
      setTimeout(start, Math.max(error.retryAfter * 1000, 3000));
    }

    return;
  }

  $('lost').textContent = '';
  setAvatar($('me').querySelector('.avatar'), chat.me);
  setText($('me').querySelector('.name'), chat.me);
  $('username').defaultValue = chat.me;
  $('app').hidden = false;
  route();
}


page.draw = draw;
page.route = route;
start();
