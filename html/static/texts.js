/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The texts of the client in the language of the user, and its formats of
 * times.  Each text-LANGUAGE.js is a catalogue: names of texts, and texts with
 * {placeholders}.  A text that depends on the number {count} has a form for each
 * plural category of the language.
 */

import english from './text-en.js';

const LANGUAGES = ['en', 'de', 'es', 'fr', 'ar', 'ja'];
const RIGHT_TO_LEFT = ['ar'];
const ARABIC_OR_HEBREW = /[\u0590-\u08ff\ufb1d-\ufefc]/;

const FORMATS = {
  time: { hour: 'numeric', minute: '2-digit' },
  weekday: { weekday: 'short' },
  date: { dateStyle: 'medium' },
  day: { dateStyle: 'full' },
  full: { dateStyle: 'full', timeStyle: 'short' },
};


/* The first of the wanted languages that has a catalogue, with its region. */
function choose(wanted) {
  for (const tag of wanted) {
    const language = tag.toLowerCase().split('-')[0];

    if (LANGUAGES.includes(language)) {
      try {
        return [language, new Intl.Locale(tag).toString()];

      } catch {
        // not a language tag
      }
    }
  }

  return ['en', 'en'];
}


/** Loads the texts in a language, by default one of the browser. */
export async function loadTexts(wanted) {
  const [language, locale] = choose(wanted ? [wanted] : navigator.languages);

  if (language !== 'en') {
    try {
      const { default: catalogue } = await import(`./text-${language}.js`);

      return new Texts(language, locale, catalogue);

    } catch {
      // offline, or blocked: better in English than not at all
    }
  }

  return new Texts('en', language === 'en' ? locale : 'en', english);
}


/* The number of midnights since `date`, with days of 23 to 25 hours. */
function daysAgo(date) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);

  return Math.round((midnight(Date.now()) - midnight(date)) / 864e5);
}


export class Texts {
  #catalogue;
  #plural;
  #number;
  #sentences;

  constructor(language, locale, catalogue) {
    this.language = language;
    this.direction = RIGHT_TO_LEFT.includes(language) ? 'rtl' : 'ltr';
    this.formats = {};

    for (const [name, options] of Object.entries(FORMATS)) {
      this.formats[name] = new Intl.DateTimeFormat(locale, options).format;
    }

    this.#catalogue = catalogue;
    this.#plural = new Intl.PluralRules(locale);
    this.#number = new Intl.NumberFormat(locale);
    this.#sentences = new Map(Object.entries(english)
      .map(([key, text]) => [text, key]));
  }

  /** Returns a text with values for its placeholders. */
  get(key, values = {}) {
    const found = this.#catalogue[key];
    const text = typeof found === 'string' ? found
      : found[this.#plural.select(values.count)] ?? found.other;

    return text.replace(/\{(\w+)\}/g, (_, name) => this.#value(values[name]));
  }

  /* The direction of a name must not change the order of the words around. */
  #value(value) {
    if (typeof value === 'number') {
      return this.#number.format(value);
    }

    return this.direction === 'rtl' || ARABIC_OR_HEBREW.test(value)
      ? `\u2068${value}\u2069` : String(value);
  }

  /** Returns the text of an error; sentences of the server are translated. */
  error({ status, message, retryAfter }) {
    if (status === 429 && retryAfter) {
      return this.get('tooManyTries', { count: retryAfter });
    }

    const key = this.#sentences.get(message);

    return key ? this.get(key) : message;
  }

  /** Replaces the texts of nodes that name theirs in a data attribute. */
  translate(parent) {
    for (const node of parent.querySelectorAll('[data-text]')) {
      node.textContent = this.get(node.dataset.text);
    }

    for (const node of parent.querySelectorAll('[data-label]')) {
      node.ariaLabel = this.get(node.dataset.label);
    }

    for (const node of parent.querySelectorAll('[data-placeholder]')) {
      node.placeholder = this.get(node.dataset.placeholder);
    }
  }

  // ---- times, in the time zone of the browser

  /** The name of a day: a relative one, if there is one. */
  day(date, format = this.formats.day) {
    const name = ['today', 'yesterday'][daysAgo(date)];

    return name ? this.get(name) : format(date);
  }

  /** A short time for a list. */
  inList(date) {
    const { time, weekday, date: full } = this.formats;
    const days = daysAgo(date);

    return days < 1 ? time(date)
                    : this.day(date, days < 7 ? weekday : full);
  }

  /** When a user was seen. */
  lastSeen(timestamp) {
    const date = new Date(timestamp);
    const time = this.formats.time(date);

    switch (daysAgo(date)) {

    case 0:
      return this.get('lastSeenToday', { time });

    case 1:
      return this.get('lastSeenYesterday', { time });

    default:
      return this.get('lastSeen', { date: this.formats.date(date) });
    }
  }

  /** Displays a timestamp of the API. */
  setTime(node, timestamp, format) {
    if (node.dateTime === timestamp && node.dataset.day === this.#today) {
      return;
    }

    const date = new Date(timestamp);

    node.textContent = format(date);
    node.dateTime = timestamp;
    node.title = this.formats.full(date);
    node.dataset.day = this.#today;
  }

  get #today() {
    return new Date().toDateString();
  }
}
