/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * What makes the page an app: installation, a start without a connection,
 * notifications, and the number of unread messages in title and icon.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, message, open, readAll, request,
         talk, url, visit, words, write } from './helpers.mjs';


/* Records notifications and tones instead of showing and playing them. */
function record() {
  window.shown = [];
  window.tones = 0;
  window.answer = 'granted';

  window.Notification = class {
    static permission = 'default';

    static requestPermission() {
      this.permission = window.answer;

      return Promise.resolve(window.answer);
    }

    constructor(title, { body, tag }) {
      window.shown.push({ title, body, tag, notification: this });
    }

    close() {
      this.closed = true;
    }
  };

  // the machine may have no sound card
  window.AudioContext.prototype.resume = () => Promise.resolve();
  window.OscillatorNode.prototype.start = () => { window.tones++; };
  window.OscillatorNode.prototype.stop = () => {};
}


/* Presses a button in the menu of the user; returns whether it is on. */
async function toggle(page, id) {
  await page.click('#me');
  await page.click(`#${id}`);
  await page.waitForTimeout(100);

  const pressed = await page.getAttribute(`#${id}`, 'aria-pressed');

  await page.keyboard.press('Escape');

  return pressed;
}


/* Hides the page from its scripts, like another window in front of it. */
function leave(page, left = true) {
  return page.evaluate((left) => { document.hasFocus = () => !left; }, left);
}


test('a notification is shown for a message that the user does not see',
     async () => {
  const page = await talk(alice, bob, { init: record });
  const sender = await open(bob);
  const send = (body) => request(sender, 'POST', '/api/v1/message/',
                                 { recipient: alice.name, body });
  const shown = () => page.evaluate(() => window.shown.map(
    ({ title, body }) => `${title}: ${body}`));
  const [first, second, third] = [words('a'), words('b'), words('c')];

  assert.equal(await page.evaluate(() => window.Notification.permission),
               'default', 'the permission is not requested on opening');

  await leave(page);
  await send(first);
  await message(page, first);
  assert.deepEqual(await shown(), [], 'off by default');

  assert.equal(await toggle(page, 'notify'), 'true');
  await send(second);
  await message(page, second);
  assert.deepEqual(await shown(), [`${bob.name}: ${second}`]);

  // a click opens the conversation
  await page.evaluate(() => { location.hash = '#/'; });
  await page.evaluate(() => window.shown[0].notification.onclick());
  await page.waitForSelector('#log');
  assert.equal(await page.textContent('#with'), bob.name);
  assert.ok(await page.evaluate(() => window.shown[0].notification.closed));

  // the user looks at the conversation
  await leave(page, false);
  await send(third);
  await message(page, third);
  assert.equal((await shown()).length, 1);

  assert.equal(await toggle(page, 'notify'), 'false');
});


test('a refused permission is reported', async () => {
  const page = await open(alice, '/', { init: record });

  await page.evaluate(() => { window.answer = 'denied'; });
  assert.equal(await toggle(page, 'notify'), 'false');
  await page.getByText('The browser does not allow notifications.').waitFor();
});


test('a sound is played if the user wants it, also after a reload', async () => {
  const page = await open(alice, '/', { init: record });
  const sender = await talk(carol, alice);
  const tones = () => page.evaluate(() => window.tones);
  const text = words();

  assert.equal(await tones(), 0);
  assert.equal(await toggle(page, 'sound'), 'true');
  await eventually(async () => await tones() === 2, 'an example');

  await page.reload();
  await page.waitForSelector('.person');
  await page.click('#me');
  assert.equal(await page.getAttribute('#sound', 'aria-pressed'), 'true');
  await page.keyboard.press('Escape');

  await write(sender, text);
  await page.locator('.preview', { hasText: text }).waitFor();
  await eventually(async () => await tones() === 2, 'for a message');
});


test('title and icon show unread messages', async () => {
  await readAll(alice);

  const page = await talk(alice, bob);
  const sender = await talk(carol, alice);
  const text = words();
  const icon = () => page.locator('link[rel=icon]').evaluate(({ href }) => href);

  await write(sender, text);
  await page.locator('.preview', { hasText: text }).waitFor();
  assert.match(await page.title(), /^\(\d+\) bob · Chat$/);
  assert.equal(await icon(), `${url}/static/icon-unread.svg`);
  assert.equal((await fetch(await icon())).status, 200);

  await page.locator('.person', { hasText: carol.name }).click();
  await message(page, text);
  await eventually(async () => await page.title() === 'carol · Chat', 'read');
  assert.equal(await icon(), `${url}/static/icon.svg`);
});


test('the page can be installed', async () => {
  const page = await open(alice);
  const address = await page.locator('link[rel=manifest]')
    .evaluate(({ href }) => href);
  const manifest = await (await fetch(address)).json();

  assert.ok(manifest.name);
  assert.equal(manifest.display, 'standalone');
  assert.equal(new URL(manifest.start_url, address).href, `${url}/`);
  assert.equal(new URL(manifest.scope, address).href, `${url}/`);

  for (const { src } of manifest.icons) {
    assert.equal((await fetch(new URL(src, address))).status, 200);
  }

  const session = await page.context().newCDPSession(page);
  const { errors } = await session.send('Page.getAppManifest');

  assert.deepEqual(errors, []);
});


test('the page starts without a connection, but not without a session',
     async () => {
  const page = await visit('/login/', { serviceWorkers: 'allow' });
  const cached = () => page.evaluate(async () => {
    const cache = await caches.open('ngx-chat shell');

    return (await cache.keys()).map(({ url }) => new URL(url).pathname);
  });

  await login(page, alice);
  await page.waitForSelector('#me');
  await eventually(async () => {
    const paths = await cached();

    return ['/', '/static/app.js', '/static/chat.js', '/static/line.js',
            '/static/style.css'].every((path) => paths.includes(path));
  }, 'the shell is cached', 30e3);

  const paths = await cached();

  assert.ok(!paths.some((path) => /^\/(api|login)/.test(path)), paths.join());

  await page.context().setOffline(true);
  await page.reload();
  await page.getByText('The server cannot be reached.').waitFor();

  await page.context().setOffline(false);
  await page.waitForSelector('.person');

  // the server decides, not the cache
  await page.click('#me');
  await page.click('#logout');
  await page.waitForSelector('#username');
  await page.goto(url);
  await page.waitForSelector('#username');
  assert.equal(new URL(page.url()).pathname, '/login/');
});
