/*
 * Copyright (C) ngx_chat contributors
 */

/* A message of the open conversation. */

import { setAttribute, setText } from './dom.js';
import { setRichText } from './rich.js';


export class Line {
  #view;
  #bubble;
  #meta;
  #parts = {};               // nodes of which most messages have none

  constructor(view) {
    this.#view = view;
    this.node = view.copy('t-message');
    this.#bubble = this.node.querySelector('.bubble');
    this.#meta = this.node.querySelector('.meta');
  }

  draw(message, { first, last, found, reachable }) {
    const { chat, open, texts } = this.#view;
    const mine = message.user === chat.me;
    const state = message.state ?? 'sent';
    const read = message.id <= chat.conversation(open.user).peerReadId;
    const mark = mine && read ? 'read' : state;
    const [by, text] = [this.#bubble.querySelector('.by'),
                        this.#bubble.querySelector('.text')];

    setAttribute(this.node, 'class', [
      'message', mine ? 'mine' : 'theirs', state,
      ...first ? ['first'] : [], ...last ? ['last'] : [],
      ...found ? ['found'] : [],
    ].join(' '));

    setText(by, texts.get('by', { user: mine ? texts.get('you')
                                             : message.user }));
    setRichText(text, message.body);
    texts.setTime(this.#meta.querySelector('time'), message.timestamp,
                  texts.formats.time);

    this.#part('edited', message.edited_at, (node) => this.#meta.prepend(node));
    this.#drawMark(mine, mark);
    this.#drawMenu(message, reachable);
    this.#drawQuote(message);
    this.#drawFault(message, state);
  }

  /* Adds or removes a node; returns it, or null. */
  #part(name, wanted, insert) {
    const found = this.#parts[name];

    if (!wanted) {
      found?.remove();
      this.#parts[name] = null;

    } else if (!found) {
      this.#parts[name] = this.#view.copy(`t-${name}`);
      insert(this.#parts[name]);
    }

    return this.#parts[name];
  }

  /* Draws the state of a message of this user. */
  #drawMark(mine, mark) {
    const icon = this.#part('mark', mine, (node) => this.#meta.append(node));

    if (icon) {
      const name = mark === 'waiting' ? 'pending' : mark;

      setAttribute(icon.firstElementChild, 'href', `#i-${name}`);
      setAttribute(icon, 'aria-label', this.#view.t(mark));
    }
  }

  #drawMenu({ id }, reachable) {
    const button = this.#part('more', id, (node) => this.#bubble.after(node));

    if (button) {
      setAttribute(button, 'tabindex', reachable ? '0' : '-1');
    }
  }

  /* Draws the message that a reply quotes. */
  #drawQuote({ reply_to: id }) {
    const { chat, open, texts } = this.#view;
    const node = this.#part('quote', id, (quote) =>
      this.#bubble.querySelector('.by').after(quote));

    if (node) {
      const original = chat.original(open.user, id);
      const name = original?.user === chat.me ? texts.get('you')
                                              : original?.user;

      setText(node.firstElementChild, name ?? '');
      setText(node.lastElementChild, original?.body
        ?? (original === null ? texts.get('messageDeleted') : '…'));
      node.disabled = !original;
    }
  }

  #drawFault({ error }, state) {
    const { texts } = this.#view;
    const node = this.#part('fault', state === 'failed',
                            (fault) => this.node.append(fault));

    if (node) {
      setText(node.firstElementChild, texts.get('notSent', {
        reason: error.status === 404 ? texts.get('noSuchUser')
                                     : texts.error(error),
      }));
    }
  }
}
