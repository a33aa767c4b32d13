/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The contents of one element: its session, its texts and its open
 * conversation.  After each change, draw() updates the nodes from the state of
 * the library.
 */

import { Account } from './account.js';
import { Actions } from './actions.js';
import { Alerts } from './alerts.js';
import { Composer } from './composer.js';
import { setAvatar, setText } from './dom.js';
import { Find } from './find.js';
import { guardKeys } from './keys.js';
import { People } from './people.js';
import { Talk } from './talk.js';

const NOTICE = 4e3;           // a notice is displayed for this time, ms
const PATIENCE = 1500;        // shorter interruptions are not displayed, ms


export class View {
  open = null;                // the open conversation, see #openConversation()

  #drawing = false;
  #noticeTimer = 0;
  #lostTimer = 0;
  #closing = new AbortController();
  #ready = false;
  #session;

  /**
   * element: the element, with `routing`, `base` and signedOut(reason); root:
   * its shadow root, with the markup; session: of sessions.js
   */
  constructor(element, root, session, texts) {
    this.element = element;
    this.root = root;
    this.#session = session;
    this.chat = session.chat;
    this.texts = texts;

    guardKeys(root);
    texts.translate(root);

    for (const { content } of root.querySelectorAll('template')) {
      texts.translate(content);
    }

    this.$('shell').dir = texts.direction;
    this.$('shell').lang = texts.language;
    this.hasPeople = this.$('people') !== null;

    // a site has its own main part
    if (!element.routing) {
      this.$('app').removeAttribute('role');
    }

    this.talk = new Talk(this);
    this.composer = new Composer(this);
    this.find = new Find(this);
    this.actions = new Actions(this);

    this.$('back').href = this.address();
    this.$('back').hidden = !this.hasPeople;
    this.$('back').onclick = (event) => this.follow(event, '');

    if (this.hasPeople) {
      this.people = new People(this);
      this.account = new Account(this);
      this.alerts = new Alerts(this);
    }

    this.#observe();

    if (session.ready) {
      this.#begin();

    } else if (session.error) {
      this.#failing();
    }
  }

  $(id) {
    return this.root.getElementById(id);
  }

  t(key, values) {
    return this.texts.get(key, values);
  }

  /** Adds a listener that ends with the view. */
  listen(target, type, listener, options = {}) {
    target.addEventListener(type, listener,
                            { ...options, signal: this.#closing.signal });
  }

  /** Ends the view; the nodes remain. */
  close() {
    clearTimeout(this.#lostTimer);
    clearTimeout(this.#noticeTimer);
    this.talk.close();
    this.#closing.abort();
  }

  /** Returns a copy of a template. */
  copy(id) {
    return this.$(id).content.firstElementChild.cloneNode(true);
  }

  /** Returns a function that copies a template once per key. */
  copies(id) {
    const nodes = new Map();

    return (key) => {
      if (!nodes.has(key)) {
        nodes.set(key, this.copy(id));
      }

      return nodes.get(key);
    };
  }

  /** Shows a message for four seconds. */
  notice(words) {
    setText(this.$('notice'), words);
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => setText(this.$('notice'), ''), NOTICE);
  }

  // ---- drawing

  /** Draws once for several changes, also in a hidden tab. */
  draw() {
    if (this.#drawing || !this.#ready || document.documentElement.hidden) {
      return;
    }

    this.#drawing = true;

    queueMicrotask(() => {
      this.#drawing = false;

      if (this.#closing.signal.aborted || document.documentElement.hidden) {
        return;
      }

      this.#correctName();
      this.people?.draw();

      if (this.open) {
        this.talk.draw();
        this.composer.draw();
        this.talk.readSoon();
      }

      this.#report();
    });
  }

  #report() {
    this.element.changed({
      unread: this.chat.unread,
      user: this.open?.user ?? null,
    });
  }

  // ---- opening and going back

  /** The address of a conversation, or of the list of users. */
  address(user = '') {
    const hash = `#/${encodeURIComponent(user)}`;

    return this.element.routing ? hash : new URL(hash, this.element.base).href;
  }

  /** Opens a conversation, or the list of users. */
  go(user) {
    if (this.element.routing) {
      location.hash = this.address(user);
    }

    this.show(user);
  }

  /* Follows a link to a conversation within the element. */
  follow(event, user) {
    const { button, metaKey, ctrlKey, shiftKey, altKey } = event;

    if (!this.element.routing && button === 0
        && !(metaKey || ctrlKey || shiftKey || altKey))
    {
      event.preventDefault();
      this.show(user);
    }
  }

  show(user, focus = true) {
    if (!this.#ready) {
      return;
    }

    const before = this.open?.user;

    if (before) {
      this.composer.keepDraft(before);
    }

    this.$('app').dataset.pane = user ? 'talk' : 'people';
    this.$('conversation').hidden = user === '';

    if (this.hasPeople) {
      this.$('welcome').hidden = user !== '';
    }

    if (user) {
      this.#openConversation(user, focus);

    } else {
      this.open = null;

      if (before) {
        this.people?.focus(before);
      }
    }

    this.draw();
  }

  /* Uses the name as stored, when it is known, and moves the draft. */
  #correctName() {
    const user = this.open && this.chat.conversation(this.open.user).user;

    if (this.open && user !== this.open.user) {
      this.open.user = user;
      this.composer.joinDraft(user);

      if (this.element.routing) {
        history.replaceState(null, '', this.address(user));
      }

      this.show(user);
    }
  }

  #openConversation(user, focus) {
    const { unread, readId } = this.chat.conversation(user);

    this.open = {
      user,
      unread,          // on opening, so that the separator does not move
      readId,
      below: 0,        // new messages below the view
      placed: false,   // scrolled to the first unread message
      found: null,     // id of the highlighted message
      from: null,      // key of the first drawn message; null: up to the end
    };

    setAvatar(this.$('with-avatar'), user);
    setText(this.$('with'), user);
    setText(this.$('silence-text'), this.t('sayHello', { user }));
    this.talk.clear();
    this.composer.showDraft(user);

    if (focus) {
      // on a phone, the keyboard would cover the messages
      const coarse = matchMedia('(pointer: coarse)').matches;

      this.$(coarse ? 'with' : 'text').focus({ preventScroll: true });
    }
  }

  /** Opens the conversation in the address of the document. */
  route() {
    let user = '';

    try {
      user = decodeURIComponent(location.hash.slice(2));

    } catch {
      // not an address of the client
    }

    if (!this.open || user !== this.open.user) {
      this.show(user);
    }
  }

  // ---- events of the library

  #observe() {
    const { chat } = this;

    this.listen(chat, 'ready', () => this.#begin());
    this.listen(chat, 'failing', () => this.#failing());
    this.listen(chat, 'change', () => this.draw());
    this.listen(chat, 'message', ({ detail }) => this.#message(detail));
    this.listen(chat, 'state', () => this.#state());
    this.listen(chat, 'left', () => this.element.signedOut('logout'));
    this.listen(chat, 'ended', () => this.element.signedOut('ended'));
    this.listen(chat, 'replaced', () => this.element.signedOut('replaced'));

    if (this.element.routing) {
      this.listen(window, 'hashchange', () => this.route());
    }
  }

  #failing() {
    const reason = this.texts.error(this.#session.error);

    setText(this.$('lost'), this.t('tryingAgain', { reason }));
  }

  #begin() {
    this.#ready = true;
    setText(this.$('lost'), '');
    this.$('app').hidden = false;
    this.account?.begin();

    if (this.chat.state === 'online') {
      this.#state();
    }

    if (this.element.routing) {
      this.route();

    } else {
      // the user may be writing elsewhere in the document
      this.show(this.element.with, false);
    }

    this.draw();
  }

  #message(message) {
    const { user, body } = message;

    if (user === this.chat.me) {
      return;
    }

    if (user !== this.open?.user) {
      if (this.hasPeople) {
        this.$('spoken').textContent = this.t('newMessageFrom', { user });
      }

      return;
    }

    this.$('spoken').textContent = this.t('by', { user }) + body;

    if (!this.talk.atEnd()) {
      this.open.below++;
    }
  }

  #state() {
    const { chat } = this;

    clearTimeout(this.#lostTimer);

    if (chat.state === 'online') {
      setText(this.$('lost'), '');
      this.people?.resume();
      chat.blocked().catch(() => {});
      this.draw();

    } else if (chat.state === 'lost') {
      this.#lostTimer = setTimeout(() => {
        setText(this.$('lost'), this.t(navigator.onLine ? 'connectionLost'
                                                        : 'offline'));
      }, PATIENCE);
    }
  }
}
