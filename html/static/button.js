/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * A button at the corner of the window with the number of unread messages.  It
 * opens a panel with the inbox, or with the conversation of the attribute
 * "with".
 */

import { setText } from './dom.js';
import { addStyle, baseOf } from './element.js';
import { guardKeys } from './keys.js';
import { BUTTON } from './markup.js';
import { acquire, release } from './sessions.js';
import { loadTexts } from './texts.js';

const PASSED = ['base', 'lang', 'login', 'logout', 'with'];


export class ChatButton extends HTMLElement {
  static observedAttributes = PASSED;

  #session = null;
  #built = null;          // identifies the latest contents
  #texts = null;
  #draw = () => this.#drawCount();

  constructor() {
    super();
    guardKeys(this.attachShadow({ mode: 'open' }));
  }

  connectedCallback() {
    this.#build();
  }

  disconnectedCallback() {
    this.#end();
  }

  attributeChangedCallback(name, before, after) {
    if (this.#built && before !== after) {
      this.#build();
    }
  }

  /** Tells whether the panel is open. */
  get open() {
    return this.#$('panel')?.hidden === false;
  }

  #$(id) {
    return this.shadowRoot.getElementById(id);
  }

  async #build() {
    const built = {};
    const template = document.createElement('template');

    this.#end();
    this.#built = built;
    template.innerHTML = BUTTON;
    this.shadowRoot.replaceChildren();
    this.#observe();

    const [texts] = await Promise.all([
      loadTexts(this.getAttribute('lang')),
      addStyle(this.shadowRoot),
    ]);

    if (this.#built !== built) {
      return;
    }

    this.#texts = texts;
    this.shadowRoot.append(template.content);
    texts.translate(this.shadowRoot);
    this.#$('shell').dir = texts.direction;
    this.#$('shell').lang = texts.language;
    this.#$('panel').ariaLabel = texts.get('title');
    this.#$('toggle').onclick = () => this.#show(!this.open);
    this.#$('close').onclick = () => this.#show(false);
    this.#$('panel').onkeydown = (event) => {
      if (event.key === 'Escape' && !event.defaultPrevented) {
        this.#show(false);
      }
    };
    this.#drawCount();
  }

  #observe() {
    this.#session = acquire(baseOf(this));
    this.#session.chat.addEventListener('change', this.#draw);
    this.#session.chat.addEventListener('state', this.#draw);
  }

  #end() {
    this.#built = null;

    if (this.#session) {
      this.#session.chat.removeEventListener('change', this.#draw);
      this.#session.chat.removeEventListener('state', this.#draw);
      release(this.#session);
      this.#session = null;
    }
  }

  #drawCount() {
    const { chat } = this.#session ?? {};
    const node = this.#$('count');

    if (!node || !chat) {
      return;
    }

    const count = chat.state === 'stopped' ? 0 : chat.unread;
    const label = this.#texts.get('openChat');

    node.hidden = count === 0;
    setText(node, count > 99 ? '99+' : String(count));
    this.#$('toggle').ariaLabel = count === 0 ? label
      : `${label}, ${this.#texts.get('unreadMessages', { count })}`;
  }

  /* Opens or closes the panel; its contents are created when it opens. */
  #show(open) {
    const panel = this.#$('panel');
    let [, inside] = panel.children;

    if (open && !inside) {
      inside = document.createElement(this.getAttribute('with')
        ? 'ngx-chat-box' : 'ngx-chat');

      for (const name of PASSED) {
        if (this.hasAttribute(name)) {
          inside.setAttribute(name, this.getAttribute(name));
        }
      }

      // after a login as another user, or in another tab
      inside.addEventListener('update', () => this.#renew());
      panel.append(inside);
    }

    panel.hidden = !open;
    this.#$('toggle').ariaExpanded = String(open);
    this.#$(open ? 'close' : 'toggle').focus();
  }

  /* Counts the messages of the session that the panel uses. */
  #renew() {
    if (this.#session?.chat.state === 'stopped') {
      this.#session.chat.removeEventListener('change', this.#draw);
      release(this.#session);
      this.#observe();
    }

    this.#drawCount();
  }
}
