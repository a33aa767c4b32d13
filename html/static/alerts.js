/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Desktop notifications and a sound for messages that the user does not see.
 * Both are off until the user enables them in the menu.
 */

const KEY = 'ngx-chat alerts';
const ICON = new URL('icon.svg', import.meta.url).href;
const LONGEST = 200;          // characters of a message in a notification
const REST = 1500;            // shortest time between two sounds, ms


/* The settings of this browser; the storage may be blocked. */
function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};

  } catch {
    return {};
  }
}


function store(settings) {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));

  } catch {
    // they last as long as the page
  }
}


export class Alerts {
  #view;
  #settings = stored();
  #audio = null;

  constructor(view) {
    this.#view = view;

    view.$('notify').hidden = !('Notification' in window);
    view.$('sound').hidden = !('AudioContext' in window);
    view.$('notify').onclick = () => this.#toggleNotify();
    view.$('sound').onclick = () => {
      this.#set('sound', !this.#settings.sound);
      this.#play();
    };
    view.listen(view.chat, 'message', ({ detail }) => this.#message(detail));
    this.#draw();
  }

  get #notifies() {
    return this.#settings.notify === true
           && globalThis.Notification?.permission === 'granted';
  }

  #draw() {
    this.#view.$('notify').ariaPressed = String(this.#notifies);
    this.#view.$('sound').ariaPressed = String(this.#settings.sound === true);
  }

  #set(name, value) {
    this.#settings[name] = value;
    store(this.#settings);
    this.#draw();
  }

  /* Browsers grant the permission after a click only. */
  async #toggleNotify() {
    if (this.#notifies) {
      this.#set('notify', false);

    } else if (await Notification.requestPermission() === 'granted') {
      this.#set('notify', true);

    } else {
      this.#view.$('menu').hidePopover();
      this.#view.notice(this.#view.t('notificationsDenied'));
    }
  }

  #message({ user, body }) {
    const { chat, open } = this.#view;
    const looks = document.visibilityState === 'visible' && document.hasFocus();

    if (user === chat.me || (looks && open?.user === user)) {
      return;
    }

    if (!looks && this.#notifies) {
      this.#notify(user, body);
    }

    this.#play();
  }

  /* Shows one notification per user, also if several tabs are open. */
  #notify(user, body) {
    const options = {
      body: body.slice(0, LONGEST),
      tag: `ngx-chat ${this.#view.element.base} ${user}`,
      renotify: true,
      silent: this.#settings.sound === true,
      icon: ICON,
      data: this.#view.address(user),
    };

    try {
      const shown = new Notification(user, options);

      shown.onclick = () => {
        window.focus();
        this.#view.go(user);
        shown.close();
      };

    } catch {
      // phones show notifications of service workers only
      navigator.serviceWorker?.getRegistration().then((worker) =>
        worker?.showNotification(user, options)).catch(() => {});
    }
  }

  /* Plays two short tones, in one tab. */
  #play() {
    if (!this.#settings.sound) {
      return;
    }

    const play = async () => {
      this.#audio ??= new AudioContext();
      await this.#audio.resume();

      const { currentTime: now, destination } = this.#audio;

      for (const [start, pitch] of [[0, 660], [0.12, 880]]) {
        const tone = new OscillatorNode(this.#audio, { frequency: pitch });
        const volume = new GainNode(this.#audio, { gain: 0.12 });

        volume.gain.setTargetAtTime(0, now + start + 0.06, 0.03);
        tone.connect(volume).connect(destination);
        tone.start(now + start);
        tone.stop(now + start + 0.3);
      }
    };

    navigator.locks?.request('ngx-chat sound', { ifAvailable: true }, (lock) => {
      if (!lock) {
        return null;
      }

      play().catch(() => {});

      return new Promise((resolve) => { setTimeout(resolve, REST); });
    });
  }
}
