/*
 * Copyright (C) ngx_chat contributors
 */

/* The menus, and confirmations. */

import { moveFocus, setText } from './dom.js';

const MARGIN = 8;           // between a menu and the edge of the window, pixels
const GAP = 4;              // between a menu and its button, pixels


/*
 * Puts a menu beside its button, towards the middle of the window.  Its size is
 * that of the open menu.
 */
function place(menu, button) {
  const { top, bottom, left, right } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const { clientWidth, clientHeight } = document.documentElement;
  const fit = (value, size, limit) =>
    `${Math.max(MARGIN, Math.min(value, limit - size - MARGIN))}px`;
  const below = bottom + GAP + height + MARGIN <= clientHeight
                || bottom < clientHeight / 2;

  menu.style.inset = [
    fit(below ? bottom + GAP : top - GAP - height, height, clientHeight),
    'auto',
    'auto',
    fit(left > clientWidth / 2 ? right - width : left, width, clientWidth),
  ].join(' ');
}


export class Actions {
  #view;
  #menus;
  #message = null;          // of the menu
  #button = null;           // that opened the menu of a message
  #act = null;              // what the user is asked to confirm

  constructor(view) {
    this.#view = view;
    this.#menus = [...view.root.querySelectorAll('.menu')];

    for (const menu of this.#menus) {
      menu.addEventListener('toggle', () => this.#follow());
      menu.onkeydown = (event) => this.#key(event, menu);
    }

    view.listen(window, 'resize', () => this.#follow());
    view.$('log').addEventListener('scroll', () => this.#follow());

    // before the button opens the menu
    view.$('messages').addEventListener('click', ({ target }) => {
      const button = target.closest('.more');

      if (button) {
        this.#choose(button);
      }
    });

    view.$('confirm-form').onsubmit = (event) => this.#confirmed(event);
    view.$('confirm-cancel').onclick = () => view.$('confirm').close();
    view.$('confirm').onclose = () => {
      setText(view.$('confirm-error'), '');

      // the element that had the focus may have been removed
      if (view.open && view.root.activeElement === null) {
        view.$('text').focus();
      }
    };

    this.#connectMessages();
    this.#connectConversation();
  }

  // ---- menus

  #choose(button) {
    const { chat, talk } = this.#view;

    this.#button = button;
    this.#message = talk.messageOf(button);

    for (const id of ['edit', 'delete']) {
      this.#view.$(id).hidden = this.#message.user !== chat.me;
    }
  }

  #key(event, menu) {
    if (event.key === 'Escape') {
      // in a shadow tree, browsers do not restore the focus
      event.preventDefault();
      menu.hidePopover();
      this.#buttonOf(menu).focus();

    } else {
      moveFocus(event, [...menu.querySelectorAll('button:not([hidden])')]);
    }
  }

  #buttonOf(menu) {
    return menu.id === 'message-menu' ? this.#button
      : this.#view.root.querySelector(`[popovertarget="${menu.id}"]`);
  }

  /* Moves open menus with their buttons, and closes those out of view. */
  #follow() {
    for (const menu of this.#menus) {
      if (!menu.matches(':popover-open')) {
        continue;
      }

      const button = this.#buttonOf(menu);
      const view = this.#view.$('log').getBoundingClientRect();
      const { top, bottom } = button.getBoundingClientRect();
      const scrolls = this.#view.$('log').contains(button);

      if (button.isConnected
          && (!scrolls || (top < view.bottom && bottom > view.top)))
      {
        place(menu, button);

      } else {
        menu.hidePopover();
      }
    }
  }

  #on(id, menu, action) {
    const button = this.#view.$(id);

    if (button) {
      button.onclick = () => {
        this.#view.$(menu).hidePopover();
        action();
      };
    }
  }

  #connectMessages() {
    const { chat, composer } = this.#view;

    this.#on('reply', 'message-menu', () => composer.reply(this.#message));
    this.#on('edit', 'message-menu', () => composer.edit(this.#message));
    this.#on('delete', 'message-menu', () => {
      const message = this.#message;
      const { recipient } = message;

      this.#ask({
        title: 'deleteMessage',
        words: recipient === chat.me ? 'deletedForYou' : 'deletedForBoth',
        label: 'delete',
        user: recipient,
        act: () => chat.remove(message),
      });
    });
  }

  #connectConversation() {
    const view = this.#view;

    view.$('talk-menu').addEventListener('beforetoggle', () => {
      const { user, blocked } = view.chat.conversation(view.open.user);

      view.$('block').hidden = user === view.chat.me;
      setText(view.$('block'),
              view.t(blocked ? 'unblockUser' : 'blockUser', { user }));
    });

    view.$('unblock').onclick = () => this.#unblock();
    this.#on('block', 'talk-menu', () => this.#block());
    this.#on('find-here', 'talk-menu', () => view.find.open(view.open.user));
    this.#on('find-all', 'menu', () => view.find.open());
  }

  // ---- confirmation

  /* Asks before an action; `act` returns a promise. */
  #ask({ title, words, label, user, act }) {
    const view = this.#view;

    setText(view.$('confirm-title'), view.t(title, { user }));
    setText(view.$('confirm-text'), view.t(words, { user }));
    setText(view.$('confirm-action'), view.t(label));
    this.#act = act;
    view.$('confirm').showModal();
  }

  async #confirmed(event) {
    const view = this.#view;
    const confirm = view.$('confirm-action');

    event.preventDefault();

    if (confirm.ariaDisabled) {
      return;
    }

    confirm.ariaDisabled = 'true';
    setText(view.$('confirm-error'), '');

    try {
      await this.#act();
      view.$('confirm').close();

    } catch (error) {
      setText(view.$('confirm-error'), view.texts.error(error));
    }

    confirm.ariaDisabled = null;
  }

  // ---- blocking

  async #unblock() {
    const { chat, open, texts } = this.#view;

    try {
      await chat.unblock(open.user);
      this.#view.$('text').focus();

    } catch (error) {
      this.#view.notice(texts.error(error));
    }
  }

  #block() {
    const { chat, open } = this.#view;
    const { user, blocked } = chat.conversation(open.user);

    if (blocked) {
      this.#unblock();
      return;
    }

    this.#ask({
      title: 'askBlock',
      words: 'aboutBlock',
      label: 'block',
      user,
      act: () => chat.block(user),
    });
  }
}
