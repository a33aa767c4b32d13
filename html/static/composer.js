/*
 * Copyright (C) ngx_chat contributors
 */

/* The text field: drafts, sending, replies and edits. */

import { setText } from './dom.js';


export class Composer {
  #view;
  #text;
  #drafts = new Map();   // users -> { words, about }

  /*
   * The message that the text replies to or replaces: { kind, message }.  An
   * edit also has the draft that it interrupts, and `saving`.
   */
  #about = null;

  constructor(view) {
    this.#view = view;
    this.#text = view.$('text');

    this.#text.oninput = () => this.#input();
    this.#text.onkeydown = (event) => this.#key(event);
    view.listen(window, 'resize', () => this.#grow());
    view.$('about-cancel').onclick = () => this.#cancel();

    view.$('composer').onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
      this.#text.focus();
    };

    view.$('messages').addEventListener('click', ({ target }) => {
      if (target.closest('.fault button')) {
        this.#again(target);
      }
    });
  }

  /* Enter starts a new line on keyboards of a screen, which lack Shift+Enter. */
  get #sends() {
    return !matchMedia('(pointer: coarse)').matches;
  }

  // ---- drafts

  keepDraft(user) {
    this.#drafts.set(user, { words: this.#text.value, about: this.#about });
    this.#store(user);
  }

  /* Stores what is not sent: without an edit, which can be begun again. */
  #store(user) {
    const { kind, message } = this.#about ?? {};

    this.#view.chat.setDraft(user, this.#draft, {
      replyTo: kind === 'reply' ? message.id : undefined,
    });
  }

  /* The draft of an earlier page. */
  #stored(user) {
    const { body = '', replyTo } = this.#view.chat.conversation(user).draft
                                   ?? {};

    return {
      words: body,
      about: replyTo ? { kind: 'reply', message: { id: replyTo } } : null,
    };
  }

  showDraft(user) {
    const text = this.#text;
    const { words, about } = this.#drafts.get(user) ?? this.#stored(user);

    this.#about = about;

    if (text.value !== words) {
      text.value = words;
    }

    text.ariaLabel = this.#view.t('messageTo', { user });
    text.enterKeyHint = this.#sends ? 'send' : 'enter';
    this.#grow();
  }

  /** Uses the draft of another spelling of the name, unless there is a text. */
  joinDraft(user) {
    this.#text.value ||= (this.#drafts.get(user) ?? this.#stored(user)).words;
  }

  // ---- drawing

  draw() {
    const { chat, open, texts } = this.#view;
    const { user, blocked } = chat.conversation(open.user);
    const [composer, barred, about, title, quoted] =
      ['composer', 'barred', 'about', 'about-title', 'about-text'].map((id) =>
        this.#view.$(id));

    if (this.#about && chat.original(user, this.#about.message.id) === null) {
      this.#cancel();
    }

    composer.hidden = blocked;
    barred.hidden = !blocked;
    setText(this.#view.$('barred-text'), texts.get('youHaveBlocked', { user }));
    about.hidden = !this.#about;

    if (this.#about) {
      const { kind } = this.#about;
      const message = chat.original(user, this.#about.message.id)
                      ?? this.#about.message;

      setText(title, kind === 'edit' ? texts.get('editMessage')
        : message.user === chat.me ? texts.get('replyToYourself')
        : texts.get('replyTo', { user: message.user ?? user }));
      setText(quoted, message.body ?? '');
    }
  }

  #grow() {
    const text = this.#text;

    text.style.height = 'auto';
    text.style.height = `${text.scrollHeight + text.offsetHeight
                           - text.clientHeight}px`;   // with borders
  }

  #put(words) {
    this.#text.value = words;
    this.#store(this.#view.open.user);
    this.#grow();
    this.#view.draw();
    this.#text.focus();
  }

  // ---- replies and edits

  /* The text of the field, or the draft that an edit interrupts. */
  get #draft() {
    return this.#about?.kind === 'edit' ? this.#about.draft : this.#text.value;
  }

  reply(message) {
    const words = this.#draft;

    this.#about = { kind: 'reply', message };
    this.#put(words);
  }

  edit(message) {
    this.#about = { kind: 'edit', message, draft: this.#draft, saving: false };
    this.#put(message.body);
  }

  #cancel() {
    const words = this.#draft;

    this.#about = null;
    this.#put(words);
  }

  async #save(change, words) {
    if (change.saving) {
      return;
    }

    change.saving = true;

    try {
      if (words !== change.message.body) {
        await this.#view.chat.edit(change.message, words);
      }

      if (this.#about === change) {
        this.#cancel();
      }

      // another conversation has been opened meanwhile
      for (const [user, draft] of this.#drafts) {
        if (draft.about === change) {
          this.#drafts.set(user, { words: change.draft, about: null });
        }
      }

    } catch (error) {
      this.#view.notice(this.#view.texts.error(error));
    }

    change.saving = false;
  }

  // ---- sending

  #submit() {
    const { chat, open, talk } = this.#view;
    const words = this.#text.value.trim();

    if (!words) {
      return;
    }

    if (this.#about?.kind === 'edit') {
      this.#save(this.#about, words);
      return;
    }

    chat.send(open.user, words, { replyTo: this.#about?.message.id });
    this.#about = null;
    this.#text.value = '';
    this.#store(open.user);
    this.#grow();
    talk.toEnd();
  }

  #input() {
    this.#store(this.#view.open.user);
    this.#grow();

    if (this.#text.value.trim() && this.#about?.kind !== 'edit') {
      this.#view.chat.typing(this.#view.open.user);
    }
  }

  #key(event) {
    const { chat, open } = this.#view;

    if (event.key === 'Enter' && !event.shiftKey && this.#sends) {
      event.preventDefault();
      this.#submit();

    } else if (event.key === 'Escape' && this.#about) {
      event.preventDefault();
      this.#cancel();

    } else if (event.key === 'ArrowUp' && !this.#text.value && !this.#about) {
      const last = chat.conversation(open.user).messages
        .findLast(({ user }) => user === chat.me);

      if (last) {
        event.preventDefault();
        this.edit(last);
      }
    }
  }

  /* A button below a failed message has been pressed. */
  #again(button) {
    const { chat, open, talk } = this.#view;
    const item = talk.messageOf(button);

    if (!item?.clientId || !item.state) {
      return;
    }

    if (button.name === 'retry') {
      chat.retry(open.user, item);
      this.#text.focus();
      return;
    }

    const original = item.reply_to && chat.original(open.user, item.reply_to);

    chat.withdraw(open.user, item);

    if (this.#about?.kind === 'edit') {
      this.#cancel();
    }

    if (original) {
      this.#about = { kind: 'reply', message: original };
    }

    this.#put(`${item.body}\n${this.#text.value}`.trim());
  }
}
