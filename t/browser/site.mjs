/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * A browser with a running site, for the tests and the screenshot:
 *
 *     CHAT_URL    http://127.0.0.1:8080
 *     CHAT_USERS  three users, alice:password,bob:password,carol:password
 *     CHAT_DEV    the script that stops and starts the site; without it, some
 *                 tests are skipped
 */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

export const url = process.env.CHAT_URL ?? 'http://127.0.0.1:8080';

export const people = (process.env.CHAT_USERS ?? '').split(',').map((pair) => {
  const [name, ...password] = pair.split(':');

  return { name, password: password.join(':') };
});

export const [alice, bob, carol] = people;

/* Chromium without its own windows needs much less processor time. */
const SHELL = process.env.CHAT_BROWSER ?? '/usr/bin/chromium-headless-shell';


/* Options that Playwright sets for screenshots would hide real faults. */
export function launch(executablePath = SHELL, ...ignored) {
  return chromium.launch({
    executablePath,
    ignoreDefaultArgs: ['--hide-scrollbars', ...ignored],
    args: [
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      '--no-first-run',
      ...(process.getuid() === 0 ? ['--no-sandbox'] : []),
    ],
  });
}


export const browser = await launch();

const sessions = new Map();

/* Actions that no page may take, if one did. */
export const faults = [];

/* Adds functions to a page, for parts of it in shadow trees. */
function addQueries() {
  const inside = (node, selector) => [
    ...node.querySelectorAll(selector),
    ...[...node.querySelectorAll('*')].flatMap(({ shadowRoot }) =>
      (shadowRoot ? inside(shadowRoot, selector) : [])),
  ];

  window.parts = (selector) => inside(document, selector);
  window.part = (selector) => window.parts(selector)[0];
  window.focused = (root = document) => (root.activeElement?.shadowRoot
    ? window.focused(root.activeElement.shadowRoot) : root.activeElement);
}


/**
 * Opens a window without a session.  Options besides those of Playwright are
 * `init`, a script, and `from`, another browser.  Without service workers, whose
 * requests tests cannot change.
 */
export async function visit(path = '/', options = {}) {
  const context = await (options.from ?? browser).newContext({
    viewport: { width: 1280, height: 800 },
    serviceWorkers: 'block',
    ...options,
  });

  await context.addInitScript(addQueries);
  await context.addInitScript(options.init ?? (() => {}));

  context.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) {
      faults.push(`request to ${request.url()}`);
    }
  });

  context.on('weberror', (error) => faults.push(String(error.error().stack)));
  context.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) {
      faults.push(message.text());
    }
  });

  const page = await context.newPage();

  await page.goto(new URL(path, url).href);

  return page;
}


export async function login(page, { name, password }) {
  await page.fill('#username', name);
  await page.fill('#password', password);
  await page.click('button');
}


/** Opens a window of a logged-in user. */
export async function open(person, path = '/', options = {}) {
  if (!sessions.has(person)) {
    const page = await visit('/login/');

    await login(page, person);
    await page.waitForSelector('#me');
    sessions.set(person, await page.context().storageState());
    await page.context().close();
  }

  const page = await visit(path, {
    storageState: sessions.get(person),
    ...options,
  });

  await page.waitForSelector('.person', { state: 'attached' });

  return page;
}


/** Opens the conversation of `person` with `other`, with a connected socket. */
export function talk(person, other, options = {}) {
  return talkTo(person, other.name, options);
}


export async function talkTo(person, name, options = {}) {
  const page = await open(person, `/#/${encodeURIComponent(name)}`, options);

  await page.waitForSelector('#log[aria-busy="false"]');

  return page;
}


/** Returns a unique text. */
export function words(text = 'Hello') {
  return `${text} ${randomUUID().slice(0, 8)}`;
}


export async function write(page, text) {
  await page.fill('#text', text);

  // Enter starts a new line on touch screens
  if (await page.evaluate(() => matchMedia('(pointer: coarse)').matches)) {
    await page.click('#composer .primary');

  } else {
    await page.press('#text', 'Enter');
  }
}


/** Returns the message in the page once it has that state. */
export async function message(page, text, state = '') {
  const found = page.locator(`.message${state && `.${state}`}`, {
    has: page.getByText(text, { exact: true }),
  });

  await found.first().waitFor({ timeout: 45e3 });
  assert.equal(await found.count(), 1, `"${text}" is there once`);

  return found;
}


/** Sends a request from a logged-in page, as its own scripts do. */
export function request(page, method, path, data) {
  return page.evaluate(async ([method, path, data]) => {
    const response = await fetch(path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(data),
    });

    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status}`);
    }
  }, [method, path, data]);
}


/** Returns the texts of the messages in the page, from top to bottom. */
export function texts(page) {
  return page.locator('.message .text').allTextContents();
}


export async function eventually(check, what, limit = 10e3) {
  const end = Date.now() + limit;

  while (!await check()) {
    assert.ok(Date.now() < end, what);
    await sleep(50);
  }
}
