/*
 * Copyright (C) ngx_chat contributors
 */

/* The search of messages. */

import { $, inList, moveFocus, setText, setTime } from './dom.js';
import { chat } from './state.js';
import { goTo } from './talk.js';

const PAUSE = 300;          // before a changed text is searched for, ms
const ENOUGH = 20;          // results before the user is asked for more
const BEFORE = 30;          // characters of a result before the text
const AFTER = 200;          // and after it

let query = {};             // the current search; others are ignored
let timer = 0;


/** Opens the search: in the conversation with a user, or in all of them. */
export function find(user) {
  query = { user };
  setText($('find-title'), user ? `Search messages with ${user}`
                                : 'Search messages');
  $('find').showModal();
  $('find-text').select();
}


$('find-close').onclick = () => $('find').close();

$('find').onclose = () => {
  query = {};
  clearTimeout(timer);
  $('find-text').value = '';
  show([]);
};


function show(results, state = '') {
  $('hits').replaceChildren(...results);
  setText($('find-state'), state);
  $('find-more').hidden = true;
}


$('find-text').oninput = () => {
  const text = $('find-text').value.trim();

  query = { user: query.user, text, before: undefined, count: 0 };
  clearTimeout(timer);
  show([], text && 'Searching…');

  if (text) {
    timer = setTimeout(more, PAUSE, query);
  }
};

$('find-form').onsubmit = (event) => event.preventDefault();
$('find-more').onclick = () => more(query);


/* A response covers some messages only, so there may be several requests. */
async function more(current) {
  const enough = current.count + ENOUGH;

  $('find-more').hidden = true;
  setText($('find-state'), 'Searching…');

  try {
    do {
      const page = await chat.search(current.text, current);

      if (query !== current) {
        return;
      }

      current.before = page.has_more ? page.cursor : null;
      current.count += page.results.length;
      $('hits').append(...page.results.map((hit) => node(hit, current.text)));
    } while (current.before && current.count < enough);

    $('find-more').hidden = !current.before;
    setText($('find-state'), current.count === 0 ? 'No messages found.'
      : `${current.count}${current.before ? ' or more' : ''} found`);

  } catch (error) {
    if (query === current) {
      setText($('find-state'), error.message);
      $('find-more').hidden = false;
    }
  }
}


/* A result, with the text around the first occurrence. */
function node(hit, text) {
  const { id, user, recipient, body, timestamp } = hit;
  const found = $('t-hit').content.firstElementChild.cloneNode(true);
  const peer = user === chat.me ? recipient : user;
  const at = body.toLowerCase().indexOf(text.toLowerCase());
  const start = at > BEFORE ? at - BEFORE : 0;
  const [before, mark, after] = found.querySelector('.preview').children;

  setText(found.querySelector('.name'),
          user === chat.me ? `You to ${peer}` : user);
  setTime(found.querySelector('time'), timestamp, inList);
  setText(before, (start ? '…' : '') + body.slice(start, Math.max(at, 0)));
  setText(mark, at < 0 ? '' : body.slice(at, at + text.length));
  setText(after, body.slice(at < 0 ? 0 : at + text.length).slice(0, AFTER));

  found.firstElementChild.onclick = () => {
    $('find').close();
    goTo(peer, id);
  };

  return found;
}


$('find').onkeydown = (event) => {
  const nodes = [$('find-text'), ...document.querySelectorAll('.hit')];

  moveFocus(event, nodes);
};
