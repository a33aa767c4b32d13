/*
 * Copyright (C) ngx_chat contributors
 */

/* The messages of the open conversation. */

import { $, arrange, copies, dayName, formats, inSentence, moveFocus, notice,
         setText, setTime } from './dom.js';
import { chat, go, page } from './state.js';

const log = $('log');

const TOGETHER = 5 * 60e3;   // longest pause within a group of messages, ms
const NEAR = 60;             // largest distance from an end, pixels
const FOUND = 2e3;           // a message is highlighted for this time, ms


const dayNode = copies('t-day');
const newNode = copies('t-new')();
const messageNode = copies('t-message');

const STATES = {
  pending: 'Sending',
  sent: 'Sent',
  read: 'Read',
  failed: 'Not sent',
};

const messages = new WeakMap();   // nodes -> messages


/** Returns the message, or item of the outbox, of a node or its child. */
export function messageOf(node) {
  return messages.get(node.closest('.message'));
}


function drawMessage(message, first, last) {
  const key = message.clientId ?? message.id;
  const node = messageNode(`${page.open.user} ${key}`);
  const mine = message.user === chat.me;
  const state = message.state ?? 'sent';
  const read = message.id <= chat.conversation(page.open.user).peerReadId;
  const icon = node.querySelector('.meta svg');
  const mark = mine && read ? 'read' : state;
  const fault = node.querySelector('.fault');

  messages.set(node, message);
  node.className = `message ${mine ? 'mine' : 'theirs'} ${state}`;
  node.classList.toggle('first', first);
  node.classList.toggle('last', last);
  node.classList.toggle('found', page.open.found === message.id);

  setText(node.querySelector('.by'), mine ? 'You: ' : `${message.user}: `);
  setText(node.querySelector('.text'), message.body);
  setTime(node.querySelector('time'), message.timestamp, formats.time);

  setText(node.querySelector('.edited'), message.edited_at ? 'edited' : '');
  node.querySelector('.more').hidden = !message.id;
  drawQuote(node.querySelector('.quote'), message);

  icon.toggleAttribute('hidden', !mine);
  icon.firstElementChild.setAttribute('href', `#i-${mark}`);
  icon.setAttribute('aria-label', STATES[mark]);

  fault.hidden = state !== 'failed';

  if (state === 'failed') {
    setText(fault.firstElementChild, message.error.status === 404
      ? 'Not sent. There is no user with this name.'
      : `Not sent. ${message.error.message}`);
  }

  return node;
}


/* Draws the message that a reply quotes. */
function drawQuote(node, { reply_to: id }) {
  node.hidden = !id;

  if (id) {
    const original = chat.original(page.open.user, id);
    const name = original?.user === chat.me ? 'You' : original?.user;

    setText(node.firstElementChild, name ?? '');
    setText(node.lastElementChild, original?.body
      ?? (original === null ? 'This message has been deleted.' : '…'));
    node.disabled = !original;
  }
}


/* The first message that was unread on opening; null if it is not loaded. */
function firstUnread({ messages, more }) {
  const first = messages.find(({ id, user }) => id > page.open.readId
                                                && user !== chat.me);

  return page.open.unread && !(more && first === messages[0]) ? first?.id : null;
}


/* The nodes of the messages and the separators between them. */
function messageNodes(conversation) {
  const nodes = [];
  const newId = firstUnread(conversation);
  const all = [...conversation.messages, ...conversation.outbox];
  const day = ({ timestamp }) => new Date(timestamp).toDateString();
  const time = ({ timestamp }) => Date.parse(timestamp);
  const together = (a, b) => a && b && a.user === b.user && day(a) === day(b)
    && b.id !== newId && time(b) - time(a) < TOGETHER;

  all.forEach((message, i) => {
    const before = all[i - 1];

    if (!before || day(before) !== day(message)) {
      const node = dayNode(`${page.open.user} ${day(message)}`);

      setText(node.firstElementChild, dayName(new Date(message.timestamp)));
      nodes.push(node);
    }

    if (newId && message.id === newId) {
      nodes.push(newNode);
    }

    nodes.push(drawMessage(message, !together(before, message),
                           !together(message, all[i + 1])));
  });

  // Tab reaches the menu of the latest message, arrow keys those of others
  all.forEach((message, i) => {
    const { id, clientId } = message;

    messageNode(`${page.open.user} ${clientId ?? id}`).querySelector('.more')
      .tabIndex = i === conversation.messages.length - 1 ? 0 : -1;
  });

  return nodes;
}


export function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
}


export function toEnd() {
  log.scrollTop = log.scrollHeight;
}


export function drawConversation() {
  const conversation = chat.conversation(page.open.user);
  const pinned = !page.open.placed || atEnd();

  // the message at the top of the view keeps its position
  const { top } = log.getBoundingClientRect();
  const anchor = [...$('messages').querySelectorAll('.message')]
    .find((node) => node.getBoundingClientRect().bottom > top);
  const offset = anchor?.getBoundingClientRect().top;

  const nodes = messageNodes(conversation);

  log.ariaBusy = String(conversation.loading !== null);
  $('older').hidden = !conversation.error;
  $('silence').hidden = nodes.length > 0 || conversation.more;
  arrange($('messages'), nodes);

  if (pinned) {
    toEnd();

  } else if (anchor?.isConnected) {
    log.scrollTop += anchor.getBoundingClientRect().top - offset;
  }

  if (!page.open.placed && nodes.length > 0 && !conversation.loading) {
    page.open.placed = true;

    // the first unread message is visible, even if not all of them fit
    if (newNode.isConnected) {
      log.scrollTop += Math.min(0, newNode.getBoundingClientRect().top - top);
    }
  }

  drawStatus();
  drawPill();
  older();
}


function drawStatus() {
  const { user, typing, online, lastSeenAt } =
    chat.conversation(page.open.user);

  setText($('with-status'), typing ? `${user} is typing…`
    : user === chat.me ? ''
    : online ? 'online'
    : lastSeenAt ? `last seen ${inSentence(lastSeenAt)}` : '');
  $('with-status').classList.toggle('typing', typing);
}


function drawPill() {
  const { below } = page.open;
  const words = $('pill').firstElementChild;

  $('pill').hidden = atEnd();
  words.classList.toggle('hidden', below === 0);
  setText(words, below === 0 ? 'To the latest messages'
                             : `${below} new message${below === 1 ? '' : 's'}`);
}


// ---- loading more

/* Loads older messages if the top is visible. */
function older() {
  const { more, loading, error } = chat.conversation(page.open.user);

  if (more && !loading && !error && log.scrollTop < NEAR) {
    chat.older(page.open.user);
  }
}


$('load-again').onclick = () => chat.older(page.open.user);


// ---- reading

let readTimer = 0;


/* Marks several messages with one request. */
export function readSoon() {
  clearTimeout(readTimer);
  readTimer = setTimeout(() => {
    if (page.open?.placed && document.visibilityState === 'visible'
        && document.hasFocus() && atEnd())
    {
      chat.markRead(page.open.user);
    }
  }, 200);
}


let wasAtEnd = true;

log.onscroll = () => {
  wasAtEnd = atEnd();

  if (!page.open) {
    return;
  }

  if (wasAtEnd) {
    page.open.below = 0;
    readSoon();
  }

  drawPill();
  older();
};

// the keyboard of a phone or a growing input must not hide the last message
new ResizeObserver(() => {
  if (wasAtEnd) {
    toEnd();
  }
}).observe(log);

$('pill').onclick = () => {
  toEnd();
  $('text').focus();
};

addEventListener('focus', readSoon);
document.addEventListener('visibilitychange', readSoon);


// ---- going to a message

let foundTimer = 0;


/** Opens a conversation at a message, which is loaded if necessary. */
export async function goTo(user, id) {
  if (page.open?.user !== user) {
    go(user);
  }

  const { open } = page;

  // the view moves to this message instead of the first unread one
  open.placed = true;

  try {
    const message = await chat.find(user, id);

    if (page.open !== open) {
      return;
    }

    if (message) {
      open.found = id;
      page.draw();
      queueMicrotask(() => showFound(message));

    } else {
      notice('This message has been deleted.');
    }

  } catch (error) {
    notice(error.message);
  }
}


function showFound({ id, clientId }) {
  const { open } = page;
  const node = messageNode(`${open.user} ${clientId ?? id}`);

  node.scrollIntoView({ block: 'center' });
  node.focus({ preventScroll: true });

  clearTimeout(foundTimer);
  foundTimer = setTimeout(() => {
    open.found = null;
    node.classList.remove('found');
  }, FOUND);
}


$('messages').addEventListener('click', ({ target }) => {
  if (target.closest('.quote')) {
    goTo(page.open.user, messageOf(target).reply_to);
  }
});

$('messages').onkeydown = (event) => {
  if (event.target.matches('.more')) {
    moveFocus(event, [...$('messages').querySelectorAll('.more:not([hidden])')]);
  }
};
