/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The web client, based on chat.js.  After each change, draw() updates the page
 * from the state of the library.  The fragment of the address names the open
 * conversation: "#/bob".  Texts of users are inserted as textContent, never as
 * HTML.
 */

import { Chat } from './chat.js';
import './keys.js';

const $ = (id) => document.getElementById(id);

const chat = new Chat();
const log = $('log');
const text = $('text');

const TOGETHER = 5 * 60e3;   // longest pause within a group of messages, ms
const NEAR = 60;             // largest distance from an end, pixels

/* State of the page that the library does not have. */
const drafts = new Map();
let people = search('');     // the loaded part of the user list
let open = null;             // the displayed conversation


function search(query) {
  return {
    query,
    found: [],         // users returned so far
    more: true,
    loading: false,
    error: null,
    chosen: false,     // Enter was pressed: open the first user found
  };
}


// ---- small helpers

/* Returns a function that copies a template once per key. */
function copies(id) {
  const nodes = new Map();

  return (key) => {
    if (!nodes.has(key)) {
      nodes.set(key, $(id).content.firstElementChild.cloneNode(true));
    }

    return nodes.get(key);
  };
}


/* Changes a text only if it differs, to keep selections and positions. */
function setText(node, value) {
  if (node.textContent !== value) {
    node.textContent = value;
  }
}


function setAvatar(node, user) {
  let hue = 0;

  for (const char of user) {
    hue = (hue * 31 + char.codePointAt(0) * 47) % 360;
  }

  setText(node, [...user][0].toUpperCase());
  node.style.setProperty('--hue', hue);
}


/* Makes `nodes` the children, without moving those in the right place. */
function arrange(parent, nodes) {
  const focused = document.activeElement;
  let at = parent.firstChild;

  for (const node of nodes) {
    if (node === at) {
      at = at.nextSibling;

    } else {
      parent.insertBefore(node, at);
    }
  }

  while (at) {
    const next = at.nextSibling;

    at.remove();
    at = next;
  }

  if (parent.contains(focused) && focused !== document.activeElement) {
    focused.focus({ preventScroll: true });
  }
}


/* Shows a message for four seconds. */
function notice(words) {
  $('notice').textContent = words;
  setTimeout(() => { $('notice').textContent = ''; }, 4000);
}


// ---- times, in the time zone and format of the browser

const formats = {
  time: { hour: 'numeric', minute: '2-digit' },
  weekday: { weekday: 'short' },
  date: { dateStyle: 'medium' },
  day: { dateStyle: 'full' },
  full: { dateStyle: 'full', timeStyle: 'short' },
};

for (const [name, options] of Object.entries(formats)) {
  formats[name] = new Intl.DateTimeFormat(undefined, options).format;
}


/* The number of midnights since `date`, with days of 23 to 25 hours. */
function daysAgo(date) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);

  return Math.round((midnight(Date.now()) - midnight(date)) / 864e5);
}


function dayName(date, format = formats.day) {
  return ['Today', 'Yesterday'][daysAgo(date)] ?? format(date);
}


function inList(date) {
  const days = daysAgo(date);

  return days < 1 ? formats.time(date)
                  : dayName(date, days < 7 ? formats.weekday : formats.date);
}


function setTime(node, timestamp, format) {
  const date = new Date(timestamp);

  setText(node, format(date));
  node.dateTime = timestamp;
  node.title = formats.full(date);
}


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

    if (open) {
      drawConversation();
      readSoon();
    }
  });
}


function drawTitle() {
  const count = chat.unread ? `(${chat.unread}) ` : '';

  document.title = count + (open ? `${open.user} · Chat` : 'Chat');
}


const personNode = copies('t-person');


function drawPerson(user) {
  const { last, unread } = chat.conversation(user);
  const node = personNode(user);
  const link = node.firstElementChild;
  const badge = node.querySelector('.badge');

  link.href = `#/${encodeURIComponent(user)}`;
  link.ariaCurrent = open?.user === user ? 'true' : null;
  link.classList.toggle('brief', !last);
  setAvatar(node.querySelector('.avatar'), user);
  setText(node.querySelector('.name'),
          user === chat.me ? `${user} (you)` : user);
  badge.hidden = unread === 0;
  setText(badge.firstElementChild, unread > 99 ? '99+' : String(unread));

  if (last) {
    setTime(node.querySelector('time'), last.timestamp, inList);
    setText(node.querySelector('.preview'),
            last.user === chat.me ? `You: ${last.body}` : last.body);
  }

  return node;
}


function drawPeople() {
  const { query, found, more, error } = people;
  const wanted = ({ user }) => user.toLowerCase().includes(query.toLowerCase());
  const known = chat.conversations;
  const talked = new Set(known.map(({ user }) => user));
  const recent = known.filter(wanted).map(({ user }) => user);
  const others = found.filter((user) => !talked.has(user));

  const nodes = [recent, others].map((users) => users.map(drawPerson));

  if (!held) {
    arrange($('inbox'), nodes[0]);
    arrange($('others'), nodes[1]);
  }

  $('others-title').hidden = others.length === 0;
  $('nobody').hidden = !error && (more || recent.length + others.length > 0);
  setText($('nobody'), error?.message
    ?? (query ? `No user found for “${query}”.` : 'No other users yet.'));

  if (people.chosen && (found.length > 0 || !more)) {
    people.chosen = false;
    choose([...recent, ...others]);
  }

  morePeople();
}


/* Opens the user with exactly this name, or the first one. */
function choose(users) {
  const query = people.query.toLowerCase();
  const user = users.find((user) => user.toLowerCase() === query) ?? users[0];

  if (user) {
    location.hash = `#/${encodeURIComponent(user)}`;
    route();
  }
}


let held = false;
let heldTimer = 0;


/* The list is not reordered below a moving or pressed pointer. */
function hold({ type }) {
  held = true;
  clearTimeout(heldTimer);

  if (type !== 'pointerdown') {
    heldTimer = setTimeout(release, 300);
  }
}


function release() {
  clearTimeout(heldTimer);
  held = false;
  draw();
}


$('lists').onpointermove = $('lists').onpointerdown = hold;
addEventListener('pointerup', hold);
addEventListener('pointercancel', hold);
addEventListener('click', release, true);


const dayNode = copies('t-day');
const newNode = copies('t-new')();
const messageNode = copies('t-message');

const STATES = { pending: 'Sending', sent: 'Sent', failed: 'Not sent' };


function drawMessage(message, first, last) {
  const key = message.clientId ?? message.id;
  const node = messageNode(`${open.user} ${key}`);
  const mine = message.user === chat.me;
  const state = message.state ?? 'sent';
  const icon = node.querySelector('svg');
  const fault = node.querySelector('.fault');

  node.className = `message ${mine ? 'mine' : 'theirs'} ${state}`;
  node.classList.toggle('first', first);
  node.classList.toggle('last', last);

  setText(node.querySelector('.by'), mine ? 'You: ' : `${message.user}: `);
  setText(node.querySelector('.text'), message.body);
  setTime(node.querySelector('time'), message.timestamp, formats.time);

  icon.toggleAttribute('hidden', !mine);
  icon.firstElementChild.setAttribute('href', `#i-${state}`);
  icon.setAttribute('aria-label', STATES[state]);

  fault.hidden = state !== 'failed';

  if (state === 'failed') {
    for (const button of fault.querySelectorAll('button')) {
      button.value = key;
    }

    setText(fault.firstElementChild, message.error.status === 404
      ? 'Not sent. There is no user with this name.'
      : `Not sent. ${message.error.message}`);
  }

  return node;
}


/* The first message that was unread on opening; null if it is not loaded. */
function firstUnread({ messages, more }) {
  const first = messages.find(({ id, user }) => id > open.readId
                                                && user !== chat.me);

  return open.unread && !(more && first === messages[0]) ? first?.id : null;
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
      const node = dayNode(`${open.user} ${day(message)}`);

      setText(node.firstElementChild, dayName(new Date(message.timestamp)));
      nodes.push(node);
    }

    if (newId && message.id === newId) {
      nodes.push(newNode);
    }

    nodes.push(drawMessage(message, !together(before, message),
                           !together(message, all[i + 1])));
  });

  return nodes;
}


function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
}


function toEnd() {
  log.scrollTop = log.scrollHeight;
}


function drawConversation() {
  const conversation = chat.conversation(open.user);
  const pinned = !open.placed || atEnd();

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

  if (!open.placed && nodes.length > 0 && !conversation.loading) {
    open.placed = true;

    // the first unread message is visible, even if not all of them fit
    if (newNode.isConnected) {
      log.scrollTop += Math.min(0, newNode.getBoundingClientRect().top - top);
    }
  }

  drawPill();
  older();
}


function drawPill() {
  const { below } = open;
  const words = $('pill').firstElementChild;

  $('pill').hidden = atEnd();
  words.classList.toggle('hidden', below === 0);
  setText(words, below === 0 ? 'To the latest messages'
                             : `${below} new message${below === 1 ? '' : 's'}`);
}


// ---- loading more

/* Loads older messages if the top is visible. */
function older() {
  const { more, loading, error } = chat.conversation(open.user);

  if (more && !loading && !error && log.scrollTop < NEAR) {
    chat.older(open.user);
  }
}


/* Loads conversations, then other users, if the end of the list is near. */
async function morePeople() {
  const current = people;
  const { query, loading, error } = current;
  const { scrollHeight, scrollTop, clientHeight } = $('lists');
  const near = scrollTop + 2 * clientHeight > scrollHeight;
  const inbox = chat.more && query === '';

  if (loading || error || !near || !(inbox || current.more)) {
    return;
  }

  current.loading = true;

  try {
    if (inbox) {
      await chat.moreConversations();

    } else {
      const page = await chat.people(query, current.found.at(-1));

      current.found.push(...page.results.map(({ username }) => username));
      current.more = page.has_more;
    }

  } catch (failure) {
    current.error = failure;
  }

  current.loading = false;
  draw();
}


$('lists').onscroll = morePeople;
$('load-again').onclick = () => chat.older(open.user);


// ---- reading

let readTimer = 0;


/* Marks several messages with one request. */
function readSoon() {
  clearTimeout(readTimer);
  readTimer = setTimeout(() => {
    if (open?.placed && document.visibilityState === 'visible'
        && document.hasFocus() && atEnd())
    {
      chat.markRead(open.user);
    }
  }, 200);
}


let wasAtEnd = true;

log.onscroll = () => {
  wasAtEnd = atEnd();

  if (!open) {
    return;
  }

  if (wasAtEnd) {
    open.below = 0;
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
  text.focus();
};

addEventListener('focus', readSoon);
document.addEventListener('visibilitychange', readSoon);


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
  const before = open?.user;

  if (before) {
    drafts.set(before, text.value);
  }

  $('app').dataset.pane = user ? 'talk' : 'people';
  $('welcome').hidden = user !== '';
  $('conversation').hidden = user === '';

  if (user) {
    openConversation(user);

  } else {
    open = null;

    if (before) {
      personNode(before).firstElementChild.focus();
    }
  }

  draw();
}


/* Uses the name as stored, when it is known, and moves the draft. */
function correctAddress() {
  const user = open && chat.conversation(open.user).user;

  if (open && user !== open.user) {
    open.user = user;
    text.value ||= drafts.get(user) ?? '';
    history.replaceState(null, '', `#/${encodeURIComponent(user)}`);
    route();
  }
}


function openConversation(user) {
  const { unread, readId } = chat.conversation(user);

  open = {
    user,
    unread,          // on opening, so that the separator does not move
    readId,
    below: 0,        // new messages below the view
    placed: false,   // scrolled to the first unread message
  };

  setAvatar($('with-avatar'), user);
  setText($('with'), user);
  setText($('silence-text'), `Say hello to ${user}.`);
  $('messages').replaceChildren();
  if (text.value !== (drafts.get(user) ?? '')) {
    text.value = drafts.get(user) ?? '';
  }

  text.setAttribute('aria-label', `Message to ${user}`);
  grow();

  // on a phone, the keyboard would cover the messages
  (matchMedia('(pointer: coarse)').matches ? $('with') : text).focus();
}


addEventListener('hashchange', () => {
  if (userInAddress() !== (open?.user ?? '')) {
    route();
  }
});


// ---- writing

function grow() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight + text.offsetHeight
                         - text.clientHeight}px`;   // with borders
}


function send() {
  if (!text.value.trim()) {
    return;
  }

  chat.send(open.user, text.value);
  text.value = '';
  grow();
  toEnd();
}


text.oninput = grow;
addEventListener('resize', grow);

text.onkeydown = (event) => {
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    send();
  }
};

$('composer').onsubmit = (event) => {
  event.preventDefault();
  send();
  text.focus();
};

$('messages').onclick = ({ target }) => {
  const item = chat.conversation(open.user).outbox
    .find(({ clientId }) => clientId === target.value);

  if (!item) {
    return;
  }

  if (target.name === 'retry') {
    chat.retry(open.user, item);

  } else {
    chat.withdraw(open.user, item);
    text.value = `${item.body}\n${text.value}`.trim();
    grow();
  }

  text.focus();
};


// ---- searching users

let searchTimer = 0;

/* Filters the loaded users at once, and queries the server after a pause. */
$('search').oninput = () => {
  const current = people = search($('search').value.trim());

  current.loading = true;
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => {
    current.loading = false;
    morePeople();
  }, 150);

  $('lists').scrollTop = 0;
  release();
};

// any other action cancels the choice
$('search').onblur = () => { people.chosen = false; };


/* Arrow keys move through the list; Enter in the field opens a user. */
$('people').onkeydown = (event) => {
  const links = [...document.querySelectorAll('.person')];
  const at = links.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const searching = document.activeElement === $('search');

  if (step && (at >= 0 || searching)) {
    event.preventDefault();
    (links[at + step] ?? $('search')).focus();

  } else if (event.key === 'Enter' && searching) {
    people.chosen = people.query !== '' && !people.error;
    draw();
  }
};


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

  if (message.user !== open?.user) {
    $('spoken').textContent = `New message from ${message.user}`;
    return;
  }

  $('spoken').textContent = `${message.user}: ${message.body}`;

  if (!atEnd()) {
    open.below++;
  }
});

let lostTimer = 0;

chat.addEventListener('state', () => {
  clearTimeout(lostTimer);

  if (chat.state === 'online') {
    $('lost').textContent = '';
    people.error = null;
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


start();
