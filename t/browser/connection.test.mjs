/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { alice, bob, eventually, message, open, talk, texts, words, write }
  from './helpers.mjs';

const dev = process.env.CHAT_DEV;
const run = promisify(execFile);


test('messages received while offline are fetched afterwards', async () => {
  const page = await talk(alice, bob);
  const sender = await talk(bob, alice);
  const sent = [words('first'), words('second'), words('third')];

  await page.context().setOffline(true);
  await page.getByText('You are offline.').waitFor();

  for (const text of sent) {
    await write(sender, text);
    await message(sender, text, 'sent');
  }

  assert.equal(await page.getByText(sent[0]).count(), 0);

  await page.context().setOffline(false);

  for (const text of sent) {
    await message(page, text);
  }

  assert.deepEqual((await texts(page)).slice(-3), sent);
  assert.equal(await page.textContent('#lost'), '');
});


test('the menu is below its button while offline', async () => {
  const page = await open(alice);
  const gap = async () => {
    await page.click('#me');

    const [button, menu] = await Promise.all(['#me', '#menu'].map(
      (name) => page.locator(name).boundingBox()));

    await page.keyboard.press('Escape');

    return menu.y - (button.y + button.height);
  };

  const online = await gap();

  await page.context().setOffline(true);
  await page.getByText('You are offline.').waitFor();
  assert.ok(online > 0);
  assert.ok(Math.abs(await gap() - online) < 1);
});


test('messages written while offline are sent afterwards', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const text = words();

  await page.context().setOffline(true);
  await write(page, text);
  await message(page, text, 'waiting');

  await page.context().setOffline(false);
  await message(page, text, 'sent');
  await message(there, text);
});


test('a message without a notification is found when the page is visible',
     async () => {
  const page = await open(alice);
  const sender = await talk(bob, alice);
  const text = words();

  // a socket that stays open but is silent
  await page.routeWebSocket('**/events', (socket) => {
    socket.connectToServer().onMessage(() => {});
  });
  await page.goto('about:blank');
  await page.goBack();
  await page.locator('.person', { hasText: bob.name }).click();
  await page.waitForSelector('#log[aria-busy="false"]');

  // the last check after connecting has ended
  await page.waitForTimeout(1500);

  await write(sender, text);
  await message(sender, text, 'sent');
  await page.waitForTimeout(500);
  assert.equal(await page.locator('.message', { hasText: text }).count(), 0);

  await page.evaluate(() => {
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await message(page, text);
});


test('a burst of messages is complete and in order', async () => {
  const page = await talk(alice, bob);
  const sender = await talk(bob, alice);
  const text = words('burst');

  await sender.evaluate(([text, recipient]) => Promise.all(
    Array.from({ length: 40 }, (_, i) => fetch('/api/v1/message/', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ recipient, body: `${text} ${i}` }),
    }))), [text, alice.name]);

  const shown = async (window) => (await texts(window))
    .filter((line) => line.startsWith(text));

  for (const window of [page, sender]) {
    await eventually(async () => (await shown(window)).length >= 40, 'all');
  }

  assert.equal(new Set(await shown(page)).size, 40,
               'each message is shown once');
  assert.deepEqual(await shown(page), await shown(sender),
                   'both pages have the same order');
});


/* Removes transports from the page; the next one is used. */
for (const [type, missing] of [['eventsource', ['WebSocket']],
                               ['fetch', ['WebSocket', 'EventSource']]])
{
  test(`messages are received without ${missing.join(' and ')}`, async () => {
    const page = await open(alice);
    const sender = await talk(bob, alice);
    const context = page.context();
    let told = false;

    context.on('request', (request) => {
      told ||= request.url().endsWith('/events')
              && request.resourceType() === type;
    });

    await context.addInitScript((names) => {
      names.forEach((name) => { delete window[name]; });
    }, missing);
    await page.reload();
    await page.locator('.person', { hasText: bob.name }).click();
    await eventually(() => told, `connected by ${type}`, 20e3);

    for (const text of [words('first'), words('second'), words('third')]) {
      await write(sender, text);
      await message(page, text);
    }
  });
}


test('the page recovers from a restart of the server',
     { skip: !dev && 'no CHAT_DEV' },
     async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const early = words('written while it was down');
  const late = words('written afterwards');

  await run(dev, ['stop']);

  try {
    await page.getByText('Connection lost.').waitFor();
    await there.getByText('Connection lost.').waitFor();
    await write(page, early);
    await message(page, early, 'waiting');

  } finally {
    await run(dev, ['start']);
  }

  await message(page, early, 'sent');
  await message(there, early);

  await write(there, late);
  await message(page, late);
  assert.equal(await page.textContent('#lost'), '');
});
