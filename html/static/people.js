/*
 * Copyright (C) ngx_chat contributors
 */

/* The list of conversations and users, and its search. */

import { $, arrange, copies, inList, inSentence, setAvatar, setText, setTime }
  from './dom.js';
import { chat, go, page } from './state.js';

let people = search('');     // the loaded part of the user list


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


export const personNode = copies('t-person');


function preview({ last, typing, online, lastSeenAt }) {
  if (typing) {
    return 'typing…';
  }

  if (!last) {
    return online ? 'online'
         : lastSeenAt ? `last seen ${inSentence(lastSeenAt)}` : '';
  }

  return last.user === chat.me ? `You: ${last.body}` : last.body;
}


function drawPerson(user) {
  const { last, unread, typing, online, lastSeenAt } = chat.conversation(user);
  const node = personNode(user);
  const link = node.firstElementChild;
  const badge = node.querySelector('.badge');

  link.href = `#/${encodeURIComponent(user)}`;
  link.ariaCurrent = page.open?.user === user ? 'true' : null;
  link.classList.toggle('brief', !last && !lastSeenAt);
  link.classList.toggle('typing', typing);
  setAvatar(node.querySelector('.avatar'), user);
  setText(node.querySelector('.name'),
          user === chat.me ? `${user} (you)` : user);
  node.querySelector('.dot').hidden = !online;
  badge.hidden = unread === 0;
  setText(badge.firstElementChild, unread > 99 ? '99+' : String(unread));

  node.querySelector('time').hidden = !last;
  setText(node.querySelector('.preview'), preview(chat.conversation(user)));

  if (last) {
    setTime(node.querySelector('time'), last.timestamp, inList);
  }

  return node;
}


/** Shows the loaded conversations and users. */
export function drawPeople() {
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
    go(user);
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
  page.draw();
}


$('lists').onpointermove = $('lists').onpointerdown = hold;
addEventListener('pointerup', hold);
addEventListener('pointercancel', hold);
addEventListener('click', release, true);


// ---- loading more

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
  page.draw();
}


$('lists').onscroll = morePeople;


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
    page.draw();
  }
};


/** Loads the list again after an error. */
export function resumePeople() {
  people.error = null;
}
