/*
 * Copyright (C) ngx_chat contributors
 */

/* The menus of messages and of the conversation. */

import { edit, reply } from './composer.js';
import { $, moveFocus, notice, setText } from './dom.js';
import { find } from './find.js';
import { chat, page } from './state.js';
import { messageOf } from './talk.js';

const menu = $('message-menu');

const WIDTH = 224;          // space for a menu, pixels

let button = null;          // of the open menu
let message = null;         // its message
let action = null;          // what the user is asked to confirm


// ---- confirmation

/* Asks before an action; `act` returns a promise. */
function ask({ title, words, label, act }) {
  setText($('confirm-title'), title);
  setText($('confirm-text'), words);
  setText($('confirm-action'), label);
  action = act;
  $('confirm').showModal();
}


$('confirm-cancel').onclick = () => $('confirm').close();

$('confirm').onclose = () => {
  setText($('confirm-error'), '');

  // the element that had the focus may have been removed
  if (page.open && document.activeElement === document.body) {
    $('text').focus();
  }
};

$('confirm-form').onsubmit = async (event) => {
  const confirm = $('confirm-action');

  event.preventDefault();

  if (confirm.ariaDisabled) {
    return;
  }

  confirm.ariaDisabled = 'true';
  setText($('confirm-error'), '');

  try {
    await action();
    $('confirm').close();

  } catch (error) {
    setText($('confirm-error'), error.message);
  }

  confirm.ariaDisabled = null;
};


// ---- messages

/* Puts the menu beside its button, towards the middle of the window. */
function place() {
  const { top, bottom, left, right } = button.getBoundingClientRect();
  const below = bottom < innerHeight / 2;
  const before = left > innerWidth / 2;
  const pixels = (value) => `${Math.max(8, value)}px`;

  menu.style.inset = [
    below ? pixels(bottom) : 'auto',
    before ? pixels(Math.min(innerWidth - right, innerWidth - WIDTH)) : 'auto',
    below ? 'auto' : pixels(innerHeight - top),
    before ? 'auto' : pixels(Math.min(left, innerWidth - WIDTH)),
  ].join(' ');
}


// before the button opens the menu
$('messages').addEventListener('click', ({ target }) => {
  const found = target.closest('.more');

  if (found) {
    button = found;
    message = messageOf(button);
    $('edit').hidden = $('delete').hidden = message.user !== chat.me;
    place();
  }
});

for (const node of [menu, $('talk-menu'), $('menu')]) {
  node.onkeydown = (event) => {
    moveFocus(event, [...node.querySelectorAll('button:not([hidden])')]);
  };
}

/* Moves the menu with its button, and closes it when that is out of view. */
function follow() {
  if (!menu.matches(':popover-open')) {
    return;
  }

  const view = $('log').getBoundingClientRect();
  const { top, bottom } = button.getBoundingClientRect();

  if (button.isConnected && top < view.bottom && bottom > view.top) {
    place();

  } else {
    menu.hidePopover();
  }
}


addEventListener('resize', follow);
$('log').addEventListener('scroll', follow);

$('reply').onclick = () => {
  menu.hidePopover();
  reply(message);
};

$('edit').onclick = () => {
  menu.hidePopover();
  edit(message);
};

$('delete').onclick = () => {
  const chosen = message;

  menu.hidePopover();
  ask({
    title: 'Delete this message?',
    words: chosen.recipient === chat.me
      ? 'The message is deleted.'
      : `The message is deleted for you and ${chosen.recipient}.`,
    label: 'Delete',
    act: () => chat.remove(chosen),
  });
};


// ---- the conversation

$('talk-menu').addEventListener('beforetoggle', () => {
  const { user, blocked } = chat.conversation(page.open.user);

  $('block').hidden = user === chat.me;
  setText($('block'), `${blocked ? 'Unblock' : 'Block'} ${user}`);
});

async function unblock() {
  try {
    await chat.unblock(page.open.user);
    $('text').focus();

  } catch (error) {
    notice(error.message);
  }
}

$('unblock').onclick = unblock;

$('block').onclick = () => {
  const { user, blocked } = chat.conversation(page.open.user);

  $('talk-menu').hidePopover();

  if (blocked) {
    unblock();
    return;
  }

  ask({
    title: `Block ${user}?`,
    words: 'While a person is blocked, neither of you can send messages to the '
           + 'other. Earlier messages remain.',
    label: 'Block',
    act: () => chat.block(user),
  });
};

$('find-here').onclick = () => {
  $('talk-menu').hidePopover();
  find(page.open.user);
};

$('find-all').onclick = () => {
  $('menu').hidePopover();
  find();
};
