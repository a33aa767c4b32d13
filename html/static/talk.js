/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The messages of the open conversation.  Of many loaded messages, only those
 * around the view have nodes.
 */

import { arrange, moveFocus, setText } from './dom.js';
import { Line } from './line.js';

const TOGETHER = 5 * 60e3;   // longest pause within a group of messages, ms
const NEAR = 60;             // largest distance from an end, pixels
const FOUND = 2e3;           // a message is highlighted for this time, ms
const SOON = 200;            // pause before messages are marked as read, ms
const DRAWN = 80;            // messages with nodes, in a window of usual size
const LOW = 36;              // height of the smallest message, pixels
const PAGE = 50;             // older messages per request on opening, at least
const MOST = 100;            // and at most


const keyOf = ({ clientId, id }) => clientId ?? id;


export class Talk {
  #view;
  #log;
  #list;
  #newNode;
  #days = new Map();         // days -> nodes that are displayed
  #lines = new Map();        // keys of messages -> the same
  #messages = new WeakMap(); // nodes -> messages
  #wasAtEnd = true;
  #readTimer = 0;
  #foundTimer = 0;
  #resize = new ResizeObserver(() => {
    if (this.#wasAtEnd) {
      this.#scrollToEnd();
    }
  });

  // a site may scroll the element into view
  #seen = new IntersectionObserver(() => this.readSoon());

  constructor(view) {
    this.#view = view;
    this.#log = view.$('log');
    this.#list = view.$('messages');
    this.#newNode = view.copy('t-new');

    this.#log.onscroll = () => this.#scrolled();
    view.$('load-again').onclick = () => this.#load();

    view.$('pill').onclick = () => {
      this.toEnd();
      view.$('text').focus();
    };

    view.listen(window, 'focus', () => this.readSoon());
    view.listen(document, 'visibilitychange', () => this.readSoon());

    // the keyboard of a phone or a growing field must not hide the last message
    this.#resize.observe(this.#log);
    this.#seen.observe(this.#log);

    this.#list.addEventListener('click', ({ target }) => {
      if (target.closest('.quote')) {
        this.goTo(view.open.user, this.messageOf(target).reply_to);
      }
    });

    this.#list.onkeydown = (event) => this.#key(event);
  }

  close() {
    clearTimeout(this.#readTimer);
    clearTimeout(this.#foundTimer);
    this.#resize.disconnect();
    this.#seen.disconnect();
  }

  /** Removes the messages of another conversation. */
  clear() {
    this.#days.clear();
    this.#lines.clear();
    this.#list.replaceChildren();
  }

  /** Returns the message, or item of the outbox, of a node or its child. */
  messageOf(node) {
    return this.#messages.get(node.closest('.message'));
  }

  // ---- the drawn part

  get #conversation() {
    return this.#view.chat.conversation(this.#view.open.user);
  }

  /* The number of messages with nodes: three windows full, at least. */
  get #size() {
    return Math.max(DRAWN, Math.ceil(this.#log.clientHeight / LOW) * 3);
  }

  /* The loaded messages, and the range of those with nodes. */
  #range() {
    const { messages, outbox } = this.#conversation;
    const { open } = this.#view;
    const all = outbox.length ? [...messages, ...outbox] : messages;
    const last = Math.max(0, all.length - this.#size);
    const found = open.from === null ? -1
      : all.findIndex((message) => keyOf(message) === open.from
                                   || message.id >= open.from);
    const start = found < 0 ? last : Math.min(found, last);

    if (start === last) {
      open.from = null;
    }

    return { all, start, end: Math.min(all.length, start + this.#size) };
  }

  /* Moves the range, so that it starts at another message. */
  #startAt(all, index) {
    const { open } = this.#view;

    open.from = index >= all.length - this.#size ? null
      : keyOf(all[Math.max(0, Math.floor(index))]);
  }

  /* The first message that was unread on opening; null if it is not loaded. */
  #firstUnread({ messages, more }) {
    const { chat, open } = this.#view;

    if (!open.unread) {
      return null;
    }

    const at = messages.findIndex(({ id, user }) => id > open.readId
                                                    && user !== chat.me);

    return at < 0 || (more && at === 0) ? null : messages[at].id;
  }

  // ---- drawing

  draw() {
    const conversation = this.#conversation;
    const { open } = this.#view;
    const log = this.#log;
    const pinned = !open.placed || this.atEnd();

    // the message at the top of the view keeps its position
    const { top } = log.getBoundingClientRect();
    const anchor = pinned ? null
      : [...this.#list.querySelectorAll('.message')]
        .find((node) => node.getBoundingClientRect().bottom > top);
    const offset = anchor?.getBoundingClientRect().top;

    const place = !open.placed && !conversation.loading
                  && this.#hasFirstUnread(conversation);
    const newId = this.#firstUnread(conversation);

    if (place && newId) {
      this.#startAt(conversation.messages,
                    conversation.messages.findIndex(({ id }) => id === newId)
                    - this.#size / 3);
    }

    const nodes = this.#nodes(newId);

    log.ariaBusy = String(conversation.loading !== null || !this.#isLoaded);
    this.#view.$('older').hidden = !conversation.error;
    this.#view.$('silence').hidden = nodes.length > 0 || conversation.more;
    arrange(this.#list, nodes);

    if (pinned) {
      this.#scrollToEnd();

    } else if (anchor?.isConnected) {
      log.scrollTop += anchor.getBoundingClientRect().top - offset;
    }

    if (place && nodes.length > 0) {
      open.placed = true;

      // the first unread message is visible, even if not all of them fit
      if (this.#newNode.isConnected) {
        log.scrollTop += Math.min(0, this.#newNode.getBoundingClientRect().top
                                     - top);
      }
    }

    this.#wasAtEnd = this.atEnd();
    this.#drawStatus();
    this.#drawPill();
    this.#more();
  }

  /* Tells whether the first page has been requested. */
  get #isLoaded() {
    const { opened, more } = this.#conversation;

    return opened || !more;
  }

  /* Tells whether all messages that were unread on opening are loaded. */
  #hasFirstUnread({ messages, more, error }) {
    const { open } = this.#view;

    return !open.unread || !more || error !== null
           || messages[0]?.id <= open.readId
           || messages.length >= open.unread + MOST;
  }

  /* The nodes of the drawn messages and the separators between them. */
  #nodes(newId) {
    const nodes = [];
    const { all, start, end } = this.#range();
    const day = ({ timestamp }) => new Date(timestamp).toDateString();
    const time = ({ timestamp }) => Date.parse(timestamp);
    const together = (a, b) => a && b && a.user === b.user && day(a) === day(b)
      && b.id !== newId && time(b) - time(a) < TOGETHER;
    const [days, lines] = [this.#days, this.#lines];
    const latest = all.findLastIndex(({ id }) => id !== undefined);

    this.#days = new Map();
    this.#lines = new Map();

    for (let i = start; i < end; i++) {
      const message = all[i];
      const before = all[i - 1];
      const key = keyOf(message);

      if (i === start || day(before) !== day(message)) {
        nodes.push(this.#day(days, message.timestamp, day(message)));
      }

      if (newId && message.id === newId) {
        nodes.push(this.#newNode);
      }

      const line = lines.get(key) ?? new Line(this.#view);

      line.draw(message, {
        first: !together(before, message),
        last: !together(message, all[i + 1]),
        found: this.#view.open.found === message.id,
        // Tab reaches the menu of the latest message, arrow keys all menus
        reachable: i === latest,
      });

      this.#messages.set(line.node, message);
      this.#lines.set(key, line);
      nodes.push(line.node);
    }

    return nodes;
  }

  #day(known, timestamp, key) {
    const node = known.get(key) ?? this.#days.get(key)
                 ?? this.#view.copy('t-day');

    // clocks may have been set back: the same day appears twice
    const unused = this.#days.has(key) ? this.#view.copy('t-day') : node;

    setText(unused.firstElementChild,
            this.#view.texts.day(new Date(timestamp)));
    this.#days.set(key, unused);

    return unused;
  }

  #drawStatus() {
    const { chat, texts } = this.#view;
    const { user, typing, online, lastSeenAt } = this.#conversation;
    const status = this.#view.$('with-status');

    setText(status, typing ? texts.get('userIsTyping', { user })
      : user === chat.me ? ''
      : online ? texts.get('online')
      : lastSeenAt ? texts.lastSeen(lastSeenAt) : '');
    status.classList.toggle('typing', typing);
  }

  #drawPill() {
    const { open } = this.#view;
    const pill = this.#view.$('pill');
    const words = pill.firstElementChild;

    pill.hidden = this.atEnd();
    words.classList.toggle('hidden', open.below === 0);
    setText(words, open.below === 0 ? this.#view.t('toLatest')
      : this.#view.t('newMessages', { count: open.below }));
  }

  // ---- scrolling

  /** Tells whether the latest message is visible. */
  atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;

    return this.#view.open?.from === null
           && scrollHeight - scrollTop - clientHeight < NEAR;
  }

  #scrollToEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Moves to the latest message. */
  toEnd() {
    const { open } = this.#view;

    // the view does not move to the first unread message afterwards
    open.placed = true;

    if (open.from !== null) {
      open.from = null;
      this.#redraw();
    }

    this.#scrollToEnd();
  }

  #redraw() {
    arrange(this.#list, this.#nodes(this.#firstUnread(this.#conversation)));
  }

  #scrolled() {
    const { open } = this.#view;

    this.#wasAtEnd = this.atEnd();

    if (!open) {
      return;
    }

    if (this.#wasAtEnd) {
      open.below = 0;
    }

    this.readSoon();
    this.#drawPill();
    this.#more();
  }

  /* Draws or loads more messages if an end of the drawn ones is visible. */
  #more() {
    const { more, loading, error } = this.#conversation;
    const { open } = this.#view;
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    const { all, start, end } = this.#range();

    // a hidden log has no ends
    if (clientHeight === 0) {
      return;
    }

    const step = Math.floor(this.#size / 3);

    if (scrollTop < NEAR && start > 0 && open.placed) {
      this.#startAt(all, start - step);
      this.#view.draw();

    } else if (scrollHeight - scrollTop - clientHeight < NEAR
               && end < all.length)
    {
      this.#startAt(all, start + step);
      this.#view.draw();

    } else if (more && !loading && !error
               && (scrollTop < NEAR || !open.placed))
    {
      this.#load();
    }
  }

  /* Loads older messages; on opening, all unread ones. */
  #load() {
    const { chat, open } = this.#view;
    const { messages } = this.#conversation;

    if (messages.length === 0 && !open.unread) {
      chat.older(open.user);

    } else {
      chat.older(open.user, open.placed ? MOST
        : Math.min(MOST, Math.max(PAGE, open.unread - messages.length + 10)));
    }
  }

  // ---- reading

  /** Marks the visible messages, several of them with one request. */
  readSoon() {
    clearTimeout(this.#readTimer);
    this.#readTimer = setTimeout(() => {
      const { chat, open } = this.#view;

      if (open?.placed && document.visibilityState === 'visible'
          && document.hasFocus() && this.#log.checkVisibility())
      {
        const id = this.#lastVisible();

        if (id) {
          chat.markRead(open.user, id);
        }
      }
    }, SOON);
  }

  /* The id of the last message whose beginning is visible. */
  #lastVisible() {
    const view = this.#log.getBoundingClientRect();
    const bottom = Math.min(view.bottom, innerHeight);

    if (this.atEnd() && view.bottom <= innerHeight + 1) {
      return this.#conversation.last?.id;
    }

    return [...this.#list.querySelectorAll('.message')]
      .filter((node) => node.getBoundingClientRect().top < bottom - LOW)
      .map((node) => this.#messages.get(node).id)
      .findLast((id) => id !== undefined);
  }

  // ---- going to a message

  /** Opens a conversation at a message, which is loaded if necessary. */
  async goTo(user, id) {
    const view = this.#view;

    if (view.open?.user !== user) {
      view.go(user);
    }

    const { open } = view;

    // the view moves to this message instead of the first unread one
    open.placed = true;

    try {
      const message = await view.chat.find(user, id);

      if (view.open !== open) {
        return;
      }

      if (message) {
        const { messages } = this.#conversation;

        open.found = id;
        this.#startAt(messages, messages.indexOf(message) - this.#size / 2);
        view.draw();
        queueMicrotask(() => this.#showFound(message));

      } else {
        view.notice(view.t('messageDeleted'));
      }

    } catch (error) {
      view.notice(view.texts.error(error));
    }
  }

  #showFound(message) {
    const { open } = this.#view;
    const node = this.#lines.get(keyOf(message))?.node;

    node?.scrollIntoView({ block: 'center' });
    node?.focus({ preventScroll: true });

    clearTimeout(this.#foundTimer);
    this.#foundTimer = setTimeout(() => {
      open.found = null;
      node?.classList.remove('found');
    }, FOUND);
  }

  // ---- keys

  /* Arrow keys move between the menus of the drawn messages. */
  #key(event) {
    if (event.target.matches('.more')) {
      moveFocus(event, [...this.#list.querySelectorAll('.more')]);
    }
  }
}
