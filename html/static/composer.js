/*
 * Copyright (C) ngx_chat contributors
 */

/* The text field: drafts, sending, replies and edits. */

import { $, notice, setText } from './dom.js';
import { chat, page } from './state.js';
import { messageOf, toEnd } from './talk.js';

const text = $('text');

const drafts = new Map();   // users -> { words, about }

/*
 * The message that the text replies to or replaces: { kind, message }.  An edit
 * also has the draft that it interrupts, and `saving`.
 */
let about = null;


// ---- drafts

export function keepDraft(user) {
  drafts.set(user, { words: text.value, about });
}


export function showDraft(user) {
  const { words = '', about: kept = null } = drafts.get(user) ?? {};

  about = kept;

  if (text.value !== words) {
    text.value = words;
  }

  text.setAttribute('aria-label', `Message to ${user}`);
  grow();
}


/** Uses the draft of another spelling of the name, unless there is a text. */
export function joinDraft(user) {
  text.value ||= drafts.get(user)?.words ?? '';
}


// ---- drawing

export function drawComposer() {
  const { user, blocked } = chat.conversation(page.open.user);

  if (about && chat.original(user, about.message.id) === null) {
    cancel();
  }

  $('composer').hidden = blocked;
  $('barred').hidden = !blocked;
  setText($('barred-text'), `You have blocked ${user}.`);
  $('about').hidden = !about;

  if (about) {
    const { kind, message } = about;
    const name = message.user === chat.me ? 'yourself' : message.user;

    setText($('about-title'), kind === 'edit' ? 'Edit message'
                                              : `Reply to ${name}`);
    setText($('about-text'), chat.original(user, message.id)?.body ?? '');
  }
}


function grow() {
  text.style.height = 'auto';
  text.style.height = `${text.scrollHeight + text.offsetHeight
                         - text.clientHeight}px`;   // with borders
}


function put(words) {
  text.value = words;
  grow();
  page.draw();
  text.focus();
}


// ---- replies and edits

export function reply(message) {
  const words = about?.kind === 'edit' ? about.draft : text.value;

  about = { kind: 'reply', message };
  put(words);
}


export function edit(message) {
  const draft = about?.kind === 'edit' ? about.draft : text.value;

  about = { kind: 'edit', message, draft, saving: false };
  put(message.body);
}


function cancel() {
  const words = about.kind === 'edit' ? about.draft : text.value;

  about = null;
  put(words);
}


$('about-cancel').onclick = cancel;


async function save(change, words) {
  if (change.saving) {
    return;
  }

  change.saving = true;

  try {
    if (words !== change.message.body) {
      await chat.edit(change.message, words);
    }

    if (about === change) {
      cancel();
    }

    // another conversation has been opened meanwhile
    for (const [user, draft] of drafts) {
      if (draft.about === change) {
        drafts.set(user, { words: change.draft, about: null });
      }
    }

  } catch (error) {
    notice(error.message);
  }

  change.saving = false;
}


// ---- sending

function submit() {
  const words = text.value.trim();

  if (!words) {
    return;
  }

  if (about?.kind === 'edit') {
    save(about, words);
    return;
  }

  chat.send(page.open.user, words, { replyTo: about?.message.id });
  about = null;
  text.value = '';
  grow();
  toEnd();
}


text.oninput = () => {
  grow();

  if (text.value.trim() && about?.kind !== 'edit') {
    chat.typing(page.open.user);
  }
};

addEventListener('resize', grow);

text.onkeydown = (event) => {
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    submit();

  } else if (event.key === 'Escape' && about) {
    event.preventDefault();
    cancel();

  } else if (event.key === 'ArrowUp' && !text.value && !about) {
    const last = chat.conversation(page.open.user).messages
      .findLast(({ user }) => user === chat.me);

    if (last) {
      event.preventDefault();
      edit(last);
    }
  }
};

$('composer').onsubmit = (event) => {
  event.preventDefault();
  submit();
  text.focus();
};

/* The buttons below a failed message. */
$('messages').addEventListener('click', ({ target }) => {
  const { user } = page.open;
  const item = target.closest('.fault button') && messageOf(target);

  if (!item?.clientId || !item.state) {
    return;
  }

  if (target.name === 'retry') {
    chat.retry(user, item);
    text.focus();
    return;
  }

  const original = item.reply_to && chat.original(user, item.reply_to);

  chat.withdraw(user, item);

  if (about?.kind === 'edit') {
    cancel();
  }

  if (original) {
    about = { kind: 'reply', message: original };
  }

  put(`${item.body}\n${text.value}`.trim());
});
