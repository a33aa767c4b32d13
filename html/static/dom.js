/*
 * Copyright (C) ngx_chat contributors
 */

/* Helpers of the page: nodes, texts and times. */

export const $ = (id) => document.getElementById(id);


/* Returns a function that copies a template once per key. */
export function copies(id) {
  const nodes = new Map();

  return (key) => {
    if (!nodes.has(key)) {
      nodes.set(key, $(id).content.firstElementChild.cloneNode(true));
    }

    return nodes.get(key);
  };
}


/* Changes a text only if it differs, to keep selections and positions. */
export function setText(node, value) {
  if (node.textContent !== value) {
    node.textContent = value;
  }
}


export function setAvatar(node, user) {
  let hue = 0;

  for (const char of user) {
    hue = (hue * 31 + char.codePointAt(0) * 47) % 360;
  }

  setText(node, [...user][0].toUpperCase());
  node.style.setProperty('--hue', hue);
}


/* Makes `nodes` the children, without moving those in the right place. */
export function arrange(parent, nodes) {
  const focused = document.activeElement;
  let at = parent.firstChild;

  for (const node of nodes) {
    if (node === at) {
      at = at.nextSibling;

    } else {
      parent.insertBefore(node, at);
    }
  }

  while (at) {
    const next = at.nextSibling;

    at.remove();
    at = next;
  }

  if (parent.contains(focused) && focused !== document.activeElement) {
    focused.focus({ preventScroll: true });
  }
}


let noticeTimer = 0;

/* Shows a message for four seconds. */
export function notice(words) {
  $('notice').textContent = words;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { $('notice').textContent = ''; }, 4000);
}


/* Moves the focus between buttons or links with the arrow keys. */
export function moveFocus(event, nodes, beyond = () => null) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const at = nodes.indexOf(document.activeElement);

  if (step && at >= 0) {
    event.preventDefault();
    (nodes[at + step] ?? beyond(step) ?? nodes[at]).focus();
  }
}


// ---- times, in the time zone and format of the browser

export const formats = {
  time: { hour: 'numeric', minute: '2-digit' },
  weekday: { weekday: 'short' },
  date: { dateStyle: 'medium' },
  day: { dateStyle: 'full' },
  full: { dateStyle: 'full', timeStyle: 'short' },
};

for (const [name, options] of Object.entries(formats)) {
  formats[name] = new Intl.DateTimeFormat(undefined, options).format;
}


/* The number of midnights since `date`, with days of 23 to 25 hours. */
function daysAgo(date) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);

  return Math.round((midnight(Date.now()) - midnight(date)) / 864e5);
}


export function dayName(date, format = formats.day) {
  return ['Today', 'Yesterday'][daysAgo(date)] ?? format(date);
}


export function inList(date) {
  const days = daysAgo(date);

  return days < 1 ? formats.time(date)
                  : dayName(date, days < 7 ? formats.weekday : formats.date);
}


export function setTime(node, timestamp, format) {
  const date = new Date(timestamp);

  setText(node, format(date));
  node.dateTime = timestamp;
  node.title = formats.full(date);
}


/* A time of the past within a sentence. */
export function inSentence(timestamp) {
  const date = new Date(timestamp);
  const time = formats.time(date);

  return ['', 'yesterday '][daysAgo(date)]?.concat(time)
    ?? `on ${formats.date(date)}`;
}
