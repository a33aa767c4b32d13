/*
 * Copyright (C) ngx_chat contributors
 */

/* The elements in pages of a site, below several paths. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, message, open, readAll, talk, url,
         visit, words, write } from './helpers.mjs';
import { allow } from './library.mjs';

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; "
             + "img-src 'self' data:; connect-src 'self'";


/** Opens a page of a site with these elements, as a user or without a session. */
async function site(person, body, path = '/shop/lamps/7.html') {
  const page = person ? await open(person) : await visit('/login/');

  await allow(page);
  await page.route(`**${path}`, (route) => route.fulfill({
    contentType: 'text/html; charset=utf-8',
    headers: { 'Content-Security-Policy': POLICY },
    body: `<!DOCTYPE html>
<script type="module" src="/static/elements.js"></script>
${body}`,
  }));
  await page.goto(url + path);

  return page;
}


test('three lines show a working conversation', async () => {
  const page = await site(alice, `<ngx-chat-box with="${bob.name}"></ngx-chat-box>`);
  const there = await talk(bob, alice);
  const [question, answer] = [words('Question'), words('Answer')];

  await page.waitForSelector('#log[aria-busy="false"]');
  assert.equal(await page.textContent('#with'), bob.name);
  assert.equal(await page.locator('.people').count(), 0);
  assert.ok(await page.evaluate(() => window.focused() === document.body),
            'the focus stays in the page');

  await write(page, question);
  await message(there, question);
  await write(there, answer);
  await message(page, answer, 'theirs');
  assert.equal(page.url(), `${url}/shop/lamps/7.html`);
});


test('the inbox opens conversations within its element', async () => {
  const page = await site(alice, '<ngx-chat></ngx-chat>', '/deep/in/a/site/');

  await page.locator('.person', { hasText: bob.name }).click();
  await page.waitForSelector('#log[aria-busy="false"]');
  assert.equal(await page.textContent('#with'), bob.name);
  assert.equal(page.url(), `${url}/deep/in/a/site/`);
  assert.equal(await page.title(), '');

  // other windows open the complete page
  assert.equal(await page.locator('.person', { hasText: bob.name })
    .evaluate(({ href }) => href), `${url}/#/${bob.name}`);

  // in a narrow element, the list and the conversation take turns
  await page.evaluate(() => {
    document.querySelector('ngx-chat').style.width = '400px';
  });
  await page.waitForSelector('.people', { state: 'hidden' });
  await page.click('#back');
  await page.waitForSelector('.people');
  assert.ok(!await page.isVisible('#log'));
});


test('a button counts unread messages and opens a panel', async () => {
  await readAll(alice);

  const page = await site(alice, '<ngx-chat-button></ngx-chat-button>');
  const sender = await talk(carol, alice);
  const text = words();

  await page.waitForSelector('#toggle');
  await write(sender, words());
  await page.waitForSelector('#count');
  await page.waitForTimeout(500);

  const before = Number(await page.textContent('#count'));

  await write(sender, text);
  await eventually(async () => Number(await page.textContent('#count'))
                               === before + 1, 'counted');
  assert.match(await page.getAttribute('#toggle', 'aria-label'),
               /^Open chat, \d+ unread messages?$/);

  await page.click('#toggle');
  await page.locator('.person', { hasText: carol.name }).click();
  await message(page, text);
  await eventually(async () => Number(await page.textContent('#count')) < before
                               + 1, 'no longer counted');

  await page.keyboard.press('Escape');
  await page.waitForSelector('#panel', { state: 'hidden' });
  assert.equal(await page.evaluate(() => window.focused().id), 'toggle');
});


test('the elements of a page share one connection', async () => {
  await readAll(alice);

  const page = await site(null, '');
  const sockets = [];

  page.on('websocket', (socket) => sockets.push(socket.url()));
  await page.goto(`${url}/login/`);
  await login(page, alice);
  await page.waitForSelector('#me');
  sockets.length = 0;

  await page.unroute('**/shop/lamps/7.html');
  await page.route('**/shop/lamps/7.html', (route) => route.fulfill({
    contentType: 'text/html; charset=utf-8',
    body: `<!DOCTYPE html><script type="module" src="/static/elements.js"></script>
      <ngx-chat-box with="${bob.name}"></ngx-chat-box>
      <ngx-chat-box with="${carol.name}"></ngx-chat-box>
      <ngx-chat-button></ngx-chat-button>`,
  }));
  await page.goto(`${url}/shop/lamps/7.html`);

  const boxes = page.locator('ngx-chat-box');

  for (const [i, { name }] of [bob, carol].entries()) {
    await boxes.nth(i).locator('#log[aria-busy="false"]').waitFor();
    assert.equal(await boxes.nth(i).locator('#with').textContent(), name);
  }

  await page.waitForSelector('#toggle');
  assert.equal(sockets.length, 1, sockets.join());

  // a removed element leaves the others connected
  await page.evaluate(() => document.querySelector('ngx-chat-box').remove());

  const there = await talk(carol, alice);
  const text = words();

  await write(there, text);
  await message(page, text);
});


test('without a session, an element leads to the login page and back',
     async () => {
  const page = await site(null, `<ngx-chat-box with="${bob.name}"></ngx-chat-box>`);

  await page.getByText('You are not logged in').waitFor();
  await page.click('#login');
  await page.waitForSelector('#username');
  await login(page, alice);
  await page.waitForURL(`${url}/shop/lamps/7.html`);
  await page.waitForSelector('#log[aria-busy="false"]');
});


test('an element notices the end of the session', async () => {
  const page = await site(null, `<ngx-chat-box with="${bob.name}"></ngx-chat-box>`);

  await page.click('#login');
  await login(page, alice);
  await page.waitForSelector('#log[aria-busy="false"]');
  await write(page, words());

  await page.evaluate(() => fetch('/api/v1/session/', { method: 'DELETE' }));
  await page.evaluate(() => dispatchEvent(new Event('focus')));
  await page.getByText('You are not logged in').waitFor();
  assert.equal(await page.locator('.message').count(), 0);
});


test('attributes name the site\'s own addresses', async () => {
  const page = await site(null, `<ngx-chat base="${url}" with="${bob.name}"
    login="/account/?from=chat"></ngx-chat>`);

  await page.getByText('You are not logged in').waitFor();
  await page.evaluate(() => window.part('#login')
    .addEventListener('click', (event) => event.preventDefault()));
  await page.click('#login');

  const { pathname, searchParams } = new URL(await page.locator('#login')
    .evaluate(({ href }) => href));

  assert.equal(pathname, '/account/');
  assert.equal(searchParams.get('from'), 'chat');
  assert.equal(searchParams.get('next'), '/shop/lamps/7.html');
});


test('the styles of a site and of the elements do not affect each other',
     async () => {
  const page = await site(alice, `
    <link rel="stylesheet" href="/shop.css">
    <p id="own">Text</p>
    <ngx-chat-box with="${bob.name}"></ngx-chat-box>`);

  await page.route('**/shop.css', (route) => route.fulfill({
    contentType: 'text/css',
    body: `* { color: red; margin: 7px; text-transform: uppercase }
           :root { --chat-accent: rgb(1, 2, 3) }
           ngx-chat-box::part(text) { border-width: 5px }`,
  }));
  await page.reload();
  await page.waitForSelector('#log[aria-busy="false"]');

  const style = (selector, name) => page.locator(selector).evaluate(
    (node, name) => getComputedStyle(node)[name], name);

  assert.equal(await style('#own', 'color'), 'rgb(255, 0, 0)');
  assert.equal(await style('#with', 'textTransform'), 'none');
  assert.equal(await style('#with', 'marginTop'), '0px');
  assert.notEqual(await style('#with', 'color'), 'rgb(255, 0, 0)');
  assert.equal(await style('#text', 'borderTopWidth'), '5px');
  await page.fill('#text', 'x');
  assert.equal(await style('#composer .primary', 'backgroundColor'),
               'rgb(1, 2, 3)');
});
