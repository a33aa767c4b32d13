/*
 * Copyright (C) ngx_chat contributors
 */

/* The list of conversations and users, and its search. */

import { arrange, setAvatar, setText } from './dom.js';

const SETTLE = 150;          // before a changed query is sent, ms
const HOLD = 300;            // the list rests after a pointer has moved, ms


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


export class People {
  #view;
  #people = search('');       // the loaded part of the user list
  #node;
  #held = false;
  #heldTimer = 0;
  #searchTimer = 0;

  constructor(view) {
    const hold = ({ type }) => this.#hold(type);

    this.#view = view;
    this.#node = view.copies('t-person');

    view.$('lists').onscroll = () => this.#more();
    view.$('lists').onpointermove = view.$('lists').onpointerdown = hold;
    view.listen(window, 'pointerup', hold);
    view.listen(window, 'pointercancel', hold);
    view.listen(window, 'click', () => this.#release(), { capture: true });
    view.$('lists').onclick = (event) => {
      const link = event.target.closest('.person');

      if (link) {
        view.follow(event, link.dataset.user);
      }
    };

    view.listen(view.element.routing ? window : view.root, 'keydown',
                (event) => this.#shortcut(event));

    view.$('search').oninput = () => this.#search();
    view.$('people').onkeydown = (event) => this.#key(event);

    // any other action cancels the choice
    view.$('search').onblur = () => { this.#people.chosen = false; };
  }

  /** Focuses the entry of a user. */
  focus(user) {
    this.#node(user).firstElementChild.focus();
  }

  /** Loads the list again after an error. */
  resume() {
    this.#people.error = null;
  }

  // ---- drawing

  /** Shows the loaded conversations and users. */
  draw() {
    const { chat, texts } = this.#view;
    const { query, found, more, error } = this.#people;
    const wanted = ({ user }) =>
      user.toLowerCase().includes(query.toLowerCase());
    const known = chat.conversations;
    const talked = new Set(known.map(({ user }) => user));
    const recent = known.filter(wanted).map(({ user }) => user);
    const others = found.filter((user) => !talked.has(user));
    const [inbox, list, title, none] =
      ['inbox', 'others', 'others-title', 'nobody'].map((id) =>
        this.#view.$(id));

    const nodes = [recent, others].map((users) =>
      users.map((user) => this.#draw(user)));

    if (!this.#held) {
      arrange(inbox, nodes[0]);
      arrange(list, nodes[1]);
    }

    title.hidden = others.length === 0;
    none.hidden = !error && (more || recent.length + others.length > 0);
    setText(none, error ? texts.error(error)
      : query ? texts.get('noUserFound', { query })
      : texts.get('noOtherUsers'));

    if (this.#people.chosen && (found.length > 0 || !more)) {
      this.#people.chosen = false;
      this.#choose([...recent, ...others]);
    }

    this.#more();
  }

  #draw(user) {
    const { chat, open, texts } = this.#view;
    const conversation = chat.conversation(user);
    const { last, unread, typing, online } = conversation;
    const node = this.#node(user);
    const link = node.firstElementChild;
    const badge = node.querySelector('.badge');
    const time = node.querySelector('time');

    link.href = this.#view.address(user);
    link.dataset.user = user;
    link.ariaCurrent = open?.user === user ? 'true' : null;
    link.classList.toggle('brief', this.#preview(conversation) === '');
    link.classList.toggle('typing', typing);
    setAvatar(node.querySelector('.avatar'), user);
    setText(node.querySelector('.name'),
            user === chat.me ? texts.get('userIsYou', { user }) : user);
    node.querySelector('.dot').hidden = !online;
    badge.hidden = unread === 0;
    setText(badge.firstElementChild, unread > 99 ? '99+' : String(unread));

    time.hidden = !last;
    setText(node.querySelector('.preview'), this.#preview(conversation));

    if (last) {
      texts.setTime(time, last.timestamp, (date) => texts.inList(date));
    }

    return node;
  }

  #preview({ user, last, draft, outbox, typing, online, lastSeenAt }) {
    const { chat, open, texts } = this.#view;
    const unsent = outbox.at(-1);

    if (typing) {
      return texts.get('typing');
    }

    if (draft && user !== open?.user) {
      return texts.get('draft', { text: draft.body });
    }

    if (unsent) {
      return texts.get('yourText', { text: unsent.body });
    }

    if (!last) {
      return online ? texts.get('online')
           : lastSeenAt ? texts.lastSeen(lastSeenAt) : '';
    }

    return last.user === chat.me ? texts.get('yourText', { text: last.body })
                                 : last.body;
  }

  /* Opens the user with exactly this name, or the first one. */
  #choose(users) {
    const query = this.#people.query.toLowerCase();
    const user = users.find((user) => user.toLowerCase() === query) ?? users[0];

    if (user) {
      this.#view.go(user);
    }
  }

  // ---- the list is not reordered below a moving or pressed pointer

  #hold(type) {
    this.#held = true;
    clearTimeout(this.#heldTimer);

    if (type !== 'pointerdown') {
      this.#heldTimer = setTimeout(() => this.#release(), HOLD);
    }
  }

  #release() {
    clearTimeout(this.#heldTimer);
    this.#held = false;
    this.#view.draw();
  }

  // ---- loading more

  /* Loads conversations, then other users, if the end of the list is near. */
  async #more() {
    const { chat } = this.#view;
    const current = this.#people;
    const { query, loading, error } = current;
    const { scrollHeight, scrollTop, clientHeight } = this.#view.$('lists');
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
    this.#view.draw();
  }

  // ---- searching users

  /* Filters the loaded users at once, and queries the server after a pause. */
  #search() {
    const current = search(this.#view.$('search').value.trim());

    this.#people = current;
    current.loading = true;
    clearTimeout(this.#searchTimer);
    this.#searchTimer = setTimeout(() => {
      current.loading = false;
      this.#more();
    }, SETTLE);

    this.#view.$('lists').scrollTop = 0;
    this.#release();
  }

  /* Ctrl+K goes to the search, Alt+Up and Alt+Down to other conversations. */
  #shortcut(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    const { open, root } = this.#view;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];

    if (shiftKey || root.querySelector('dialog[open]')) {
      return;
    }

    if (key === 'k' && ctrlKey !== metaKey && !altKey) {
      event.preventDefault();

      if (!this.#view.$('search').checkVisibility()) {
        this.#view.go('');
      }

      this.#view.$('search').select();

    } else if (step && altKey && !ctrlKey && !metaKey) {
      const users = [...this.#view.$('inbox').querySelectorAll('.person')]
        .map(({ dataset }) => dataset.user);
      const at = users.indexOf(open?.user);
      const user = users[at < 0 ? 0 : at + step];

      event.preventDefault();

      if (user) {
        this.#view.go(user);
      }
    }
  }

  /* Arrow keys move through the list; Enter in the field opens a user. */
  #key(event) {
    const field = this.#view.$('search');
    const links = [...this.#view.root.querySelectorAll('.person')];
    const focused = this.#view.root.activeElement;
    const at = links.indexOf(focused);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const searching = focused === field;

    if (step && !event.altKey && (at >= 0 || searching)) {
      event.preventDefault();
      (links[at + step] ?? field).focus();

    } else if (event.key === 'Enter' && searching) {
      this.#people.chosen = this.#people.query !== ''
                            && !this.#people.error;
      this.#view.draw();

    } else if (event.key === 'Escape' && searching && field.value) {
      event.preventDefault();
      field.value = '';
      this.#search();
    }
  }
}
