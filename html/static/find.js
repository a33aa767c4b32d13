/*
 * Copyright (C) ngx_chat contributors
 */

/* The search of messages. */

import { moveFocus, setText } from './dom.js';

const PAUSE = 300;          // before a changed text is searched for, ms
const ENOUGH = 20;          // results before the user is asked for more
const BEFORE = 30;          // characters of a result before the text
const AFTER = 200;          // and after it


export class Find {
  #view;
  #query = {};              // the current search; others are ignored
  #timer = 0;

  constructor(view) {
    this.#view = view;

    view.$('find-close').onclick = () => view.$('find').close();
    view.$('find').onclose = () => this.#closed();
    view.$('find-text').oninput = () => this.#input();
    view.$('find-form').onsubmit = (event) => event.preventDefault();
    view.$('find-more').onclick = () => this.#more(this.#query);

    view.$('find').onkeydown = (event) => {
      moveFocus(event, [view.$('find-text'),
                        ...view.root.querySelectorAll('.hit')]);
    };
  }

  /** Opens the search: in the conversation with a user, or in all of them. */
  open(user) {
    const { texts } = this.#view;

    this.#query = { user };
    setText(this.#view.$('find-title'),
            user ? texts.get('searchWith', { user })
                 : texts.get('searchMessages'));
    this.#view.$('find').showModal();
    this.#view.$('find-text').select();
  }

  #closed() {
    this.#query = {};
    clearTimeout(this.#timer);
    this.#view.$('find-text').value = '';
    this.#show([]);
  }

  #show(results, state = '') {
    this.#view.$('hits').replaceChildren(...results);
    setText(this.#view.$('find-state'), state);
    this.#view.$('find-more').hidden = true;
  }

  #input() {
    const text = this.#view.$('find-text').value.trim();

    this.#query = { user: this.#query.user, text, before: undefined, count: 0 };
    clearTimeout(this.#timer);
    this.#show([], text && this.#view.t('searching'));

    if (text) {
      this.#timer = setTimeout((query) => this.#more(query), PAUSE,
                               this.#query);
    }
  }

  /* A response covers some messages only, so there may be several requests. */
  async #more(current) {
    const { chat, texts } = this.#view;
    const [state, more, hits] = ['find-state', 'find-more', 'hits'].map((id) =>
      this.#view.$(id));
    const enough = current.count + ENOUGH;

    more.hidden = true;
    setText(state, texts.get('searching'));

    try {
      do {
        const page = await chat.search(current.text, current);

        if (this.#query !== current) {
          return;
        }

        current.before = page.has_more ? page.cursor : null;
        current.count += page.results.length;
        hits.append(...page.results.map((hit) => this.#node(hit, current.text)));
      } while (current.before && current.count < enough);

      more.hidden = !current.before;
      setText(state, current.count === 0 ? texts.get('noMessagesFound')
        : texts.get(current.before ? 'foundOrMore' : 'found', current));

    } catch (error) {
      if (this.#query === current) {
        setText(state, texts.error(error));
        more.hidden = false;
      }
    }
  }

  /* A result, with the text around the first occurrence. */
  #node(hit, text) {
    const { chat, talk, texts } = this.#view;
    const { id, user, recipient, body, timestamp } = hit;
    const found = this.#view.copy('t-hit');
    const peer = user === chat.me ? recipient : user;
    const at = body.toLowerCase().indexOf(text.toLowerCase());
    const start = at > BEFORE ? at - BEFORE : 0;
    const [before, mark, after] = found.querySelector('.preview').children;

    setText(found.querySelector('.name'),
            user === chat.me ? texts.get('youTo', { user: peer }) : user);
    texts.setTime(found.querySelector('time'), timestamp,
                  (date) => texts.inList(date));
    setText(before, (start ? '…' : '') + body.slice(start, Math.max(at, 0)));
    setText(mark, at < 0 ? '' : body.slice(at, at + text.length));
    setText(after, body.slice(at < 0 ? 0 : at + text.length).slice(0, AFTER));

    found.firstElementChild.onclick = () => {
      this.#view.$('find').close();
      talk.goTo(peer, id);
    };

    return found;
  }
}
