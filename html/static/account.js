/*
 * Copyright (C) ngx_chat contributors
 */

/* The menu of the current user. */

import { setAvatar, setText } from './dom.js';


export class Account {
  #view;

  constructor(view) {
    this.#view = view;

    view.$('logout').onclick = () => this.#logOut();
    view.$('change-password').onclick = () => {
      view.$('menu').hidePopover();
      view.$('password').showModal();
    };

    view.$('password-cancel').onclick = () => view.$('password').close();

    view.$('password').onclose = () => {
      view.$('password-form').reset();
      setText(view.$('password-error'), '');
    };

    view.$('password-form').onsubmit = (event) => this.#changePassword(event);
  }

  /** Shows the name of the user, once it is known. */
  begin() {
    const view = this.#view;
    const { me } = view.chat;
    const button = view.$('me');

    setAvatar(button.querySelector('.avatar'), me);
    setText(button.querySelector('.name'), me);
    view.$('username').defaultValue = me;
  }

  async #logOut() {
    const { chat, element, texts } = this.#view;

    if (element.logout) {
      location.assign(element.logout);
      return;
    }

    try {
      await chat.logout();
      chat.dispatchEvent(new Event('left'));

    } catch (error) {
      this.#view.notice(texts.error(error));
    }
  }

  async #changePassword(event) {
    const view = this.#view;
    const save = view.$('password-form').querySelector('.primary');

    event.preventDefault();

    if (save.ariaDisabled) {
      return;
    }

    save.ariaDisabled = 'true';
    setText(view.$('password-error'), '');

    try {
      await view.chat.changePassword(view.$('old-password').value,
                                     view.$('new-password').value);
      view.$('password').close();
      view.notice(view.t('passwordChanged'));

    } catch (error) {
      setText(view.$('password-error'), view.texts.error(error));
    }

    save.ariaDisabled = null;
  }
}
