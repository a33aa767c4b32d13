/*
 * Copyright (C) ngx_chat contributors
 */

/* The common part of the elements. */

import { acquire, release } from './sessions.js';
import { loadTexts } from './texts.js';
import { View } from './view.js';

const STYLE = new URL('style.css', import.meta.url).href;
const BASE = new URL('..', import.meta.url).href;


/** Inserts the style sheet; resolves when it is in effect. */
export function addStyle(root) {
  const link = document.createElement('link');

  link.rel = 'stylesheet';
  link.href = STYLE;

  return new Promise((resolve) => {
    link.onload = link.onerror = resolve;
    root.append(link);
  });
}


/** The URL in an attribute "base", with a slash at the end. */
export function baseOf(element) {
  const base = new URL(element.getAttribute('base') ?? BASE, document.baseURI);

  base.pathname = base.pathname.replace(/\/*$/, '/');
  base.search = base.hash = '';

  return base;
}


/*
 * An element with a view.  A subclass has its `markup`.  Events: "update" after each change, with
 * { unread, user }, and "signedout" at the end of the session, with its reason
 * "ended", "logout" or "replaced".  The element handles the latter unless
 * preventDefault() is called.
 */
export class ChatElement extends HTMLElement {
  static observedAttributes = ['base', 'lang', 'with', 'routing'];

  #view = null;
  #session = null;
  #built = null;          // identifies the latest contents
  #last = {};

  constructor() {
    super();
    this.attachShadow({ mode: 'open' });
  }

  /** URL that contains /api/v1/ and /events */
  get base() {
    return baseOf(this);
  }

  /** URL of the login page */
  get login() {
    return new URL(this.getAttribute('login') ?? new URL('login/', this.base),
                   document.baseURI);
  }

  /** URL that ends the session of the site; null: the API ends it */
  get logout() {
    return this.getAttribute('logout');
  }

  get with() {
    return this.getAttribute('with') ?? '';
  }

  set with(user) {
    this.setAttribute('with', user);
  }

  /** Tells whether the address of the document names the conversation. */
  get routing() {
    return this.hasAttribute('routing');
  }

  connectedCallback() {
    this.#build();
  }

  disconnectedCallback() {
    this.#end();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.#built || before === after) {
      return;
    }

    if (name === 'with' && !this.routing) {
      this.#view?.show(after ?? '');

    } else if (name !== 'with') {
      this.#build();
    }
  }

  async #build() {
    const built = {};
    const template = document.createElement('template');
    const texts = loadTexts(this.getAttribute('lang'));

    this.#end();
    this.#built = built;

    template.innerHTML = this.markup;
    this.shadowRoot.replaceChildren();

    const style = addStyle(this.shadowRoot);

    this.#session = acquire(this.base);

    await Promise.all([style, texts]);

    if (this.#built === built) {
      this.texts = await texts;
      this.shadowRoot.append(template.content);
      this.#view = new View(this, this.shadowRoot, this.#session, this.texts);

      if (this.#session.chat.state === 'stopped') {
        this.signedOut(this.#session.reason);
      }
    }
  }

  #end() {
    this.#built = null;
    this.#view?.close();
    this.#view = null;

    if (this.#session) {
      release(this.#session);
      this.#session = null;
    }
  }

  // ---- calls of the view

  changed(detail) {
    if (detail.unread !== this.#last.unread || detail.user !== this.#last.user) {
      this.#last = detail;
      this.dispatchEvent(new CustomEvent('update', { detail }));
    }
  }

  signedOut(reason) {
    const root = this.shadowRoot;
    const event = new CustomEvent('signedout', {
      detail: reason,
      cancelable: true,
    });

    if (!this.dispatchEvent(event)) {
      return;
    }

    if (reason === 'replaced') {
      this.#build();
      return;
    }

    // another user must not see these contents
    this.#view?.close();
    this.#view = null;
    root.getElementById('app')?.remove();
    root.querySelectorAll('dialog').forEach((node) => node.remove());
    root.getElementById('gate').hidden = false;
    this.#offerLogin();
  }

  /* Shows the way to the login page, and notices a login in another tab. */
  #offerLogin() {
    const built = this.#built;
    const link = this.shadowRoot.getElementById('login');
    const again = () => {
      removeEventListener('focus', again);

      if (this.#built === built) {
        this.#build();
      }
    };

    link.href = this.login;
    link.onclick = () => {
      const here = location.pathname + location.search + location.hash;
      const address = this.login;

      address.searchParams.set('next', here);
      link.href = address;
    };

    addEventListener('focus', again);
  }
}
