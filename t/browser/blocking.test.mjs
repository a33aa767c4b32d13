/*
 * Copyright (C) ngx_chat contributors
 */

/* The page: blocking, the search of messages, and presence. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, message, open, request, talk, texts,
         words, write } from './helpers.mjs';

const LIMIT = 60e3;
const low = { viewport: { width: 800, height: 500 } };


function person(page, { name }) {
  return page.locator('.person', {
    has: page.getByText(name, { exact: true }),
  });
}


async function inMenu(page, name) {
  await page.click('#talk-more');
  await page.locator('#talk-menu').getByRole('button', { name }).click();
}


test('a user is blocked and unblocked', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const [refused, sent] = [words('refused'), words('sent')];

  try {
    await inMenu(page, `Block ${bob.name}`);
    await page.click('#confirm-cancel');
    assert.ok(await page.isVisible('#composer'));

    await inMenu(page, `Block ${bob.name}`);
    await page.click('#confirm-action');
    await page.getByText(`You have blocked ${bob.name}.`).waitFor();
    assert.ok(!await page.isVisible('#composer'));

    await write(there, refused);
    await (await message(there, refused, 'failed'))
      .getByText('This person does not accept messages from you.').waitFor();
    assert.ok(await there.isVisible('#me'), 'the session continues');

    // still so after a reload
    await page.reload();
    await page.getByText(`You have blocked ${bob.name}.`).waitFor();
    assert.ok(!(await texts(page)).includes(refused));

    await page.click('#unblock');
    await page.waitForSelector('#composer');
    await there.locator('.failed').getByText('Try again').click();
    await message(page, refused);

    // and through the menu
    await inMenu(page, `Block ${bob.name}`);
    await page.click('#confirm-action');
    await page.waitForSelector('#barred');
    await inMenu(page, `Unblock ${bob.name}`);
    await page.waitForSelector('#composer');

  } finally {
    await request(page, 'DELETE', `/api/v1/block/${bob.name}/`);
  }

  await write(page, sent);
  await message(there, sent);
});


test('a block by another window explains why a message is not sent',
     async () => {
  const page = await talk(alice, bob);
  const text = words();

  try {
    await request(page, 'PUT', `/api/v1/block/${bob.name}/`);
    await write(page, text);
    await (await message(page, text, 'failed'))
      .getByText('You have blocked this person.').waitFor();

  } finally {
    await request(page, 'DELETE', `/api/v1/block/${bob.name}/`);
  }
});


test('a block that fails is reported in the dialog', async () => {
  const page = await talk(alice, bob);

  await page.route('**/api/v1/block/*/', (route) => route.abort());
  await inMenu(page, `Block ${bob.name}`);
  await page.click('#confirm-action');
  await page.locator('#confirm-error', { hasText: 'cannot be reached' })
    .waitFor();
  await page.keyboard.press('Escape');
  assert.ok(await page.isVisible('#composer'));
});


test('messages are searched for, and a result leads to its message',
     async () => {
  const page = await talk(carol, alice, low);
  const word = words('needle').replace(' ', '');
  const here = `${'word '.repeat(40)}${word} in the haystack`;

  await write(page, here);
  await message(page, here, 'sent');

  for (let i = 0; i < 40; i++) {
    await request(page, 'POST', '/api/v1/message/',
                  { recipient: alice.name, body: words(`straw ${i}`) });
  }

  await request(page, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: `another ${word}` });
  await page.reload();
  await page.waitForSelector('#log[aria-busy="false"]');

  const hits = page.locator('.hit');

  // in this conversation
  await inMenu(page, 'Search messages');
  await page.keyboard.type(word.toUpperCase());
  await page.getByText('1 found').waitFor();
  assert.equal(await hits.count(), 1);
  assert.equal(await hits.locator('.name').textContent(), `You to ${alice.name}`);
  assert.equal(await hits.locator('mark').textContent(), word);

  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#find', { state: 'hidden' });

  const found = page.locator('.message.found');

  await found.waitFor();
  assert.equal(await found.locator('.text').textContent(), here);
  assert.ok(await found.evaluate((node) => {
    const { top, bottom } = node.getBoundingClientRect();
    const view = window.part('#log').getBoundingClientRect();

    return top < view.bottom && bottom > view.top;
  }), 'it is visible');

  // in all conversations
  await page.click('#me');
  await page.click('#find-all');
  await page.fill('#find-text', word);
  await page.getByText('2 found').waitFor();
  await hits.filter({ hasText: `You to ${bob.name}` }).click();
  await eventually(async () => await page.textContent('#with') === bob.name,
                   'the conversation of the result', LIMIT);
  await page.locator('.message.found', { hasText: word }).waitFor();

  await page.click('#me');
  await page.click('#find-all');
  assert.equal(await page.inputValue('#find-text'), '');
  await page.fill('#find-text', words('nothing'));
  await page.getByText('No messages found.').waitFor();
});


test('the search continues until there are enough results', async () => {
  const page = await talk(alice, bob);
  const asked = [];
  const row = (id) => ({ id, user: alice.name, recipient: bob.name,
                         timestamp: '2026-01-02T03:04:05.000000Z',
                         body: `hit ${id}` });

  await page.route('**/api/v1/message/?search=*', (route) => {
    const before = new URL(route.request().url()).searchParams.get('before');
    const id = Number(before ?? 100);

    asked.push(id);

    return route.fulfill({ json: {
      results: id % 2 ? [] : Array.from({ length: 5 }, (_, i) => row(id - i / 8)),
      has_more: id > 80,
      cursor: String(id - 1),
    } });
  });
  await inMenu(page, 'Search messages');
  await page.fill('#find-text', 'hit');
  await page.getByText('20 or more found').waitFor();
  assert.equal(asked.length, 7);
  await page.click('#find-more');
  await page.getByText('40 or more found').waitFor();
  assert.equal(await page.locator('.hit').count(), 40);

  // an error can be repeated
  await page.unroute('**/api/v1/message/?search=*');
  await page.route('**/api/v1/message/?search=*', (route) => route.abort());
  await page.click('#find-more');
  await page.locator('#find-state', { hasText: 'cannot be reached' }).waitFor();
  assert.ok(await page.isVisible('#find-more'));
});


test('a late result of an earlier text is not shown', async () => {
  const page = await talk(alice, bob);
  let release;

  await page.route('**/api/v1/message/?search=first*', async (route) => {
    await new Promise((resolve) => { release = resolve; });
    await route.fulfill({ json: { has_more: false, cursor: '1', results: [
      { id: 1, user: alice.name, recipient: bob.name, body: 'first',
        timestamp: '2026-01-02T03:04:05.000000Z' },
    ] } }).catch(() => {});
  });
  await inMenu(page, 'Search messages');
  await page.fill('#find-text', 'first');
  await eventually(() => release, 'it is asked for', LIMIT);
  await page.fill('#find-text', words('second'));
  await page.getByText('No messages found.').waitFor();
  release();
  await page.waitForTimeout(300);
  assert.equal(await page.locator('.hit').count(), 0);
});


/* Replaces presence in the lists; returns a function that sends an event. */
async function present(page, online, lastSeenAt) {
  let socket;

  await page.routeWebSocket('**/events', (found) => { socket = found; });
  await page.route(/\/api\/v1\/(conversation|user)\/\?/, async (route) => {
    const response = await route.fetch();
    const data = await response.json();

    for (const row of data.results) {
      Object.assign(row, { online, last_seen_at: lastSeenAt });
    }

    await route.fulfill({ response, json: data });
  });
  await page.reload();
  await page.waitForSelector('.person');

  return (event) => socket.send(JSON.stringify({ type: 'presence', ...event }));
}


test('a user is online while a page is open', async () => {
  const page = await talk(alice, bob);

  await request(page, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: 'Hello' });

  const there = await talk(bob, alice);
  const status = page.locator('#with-status');

  await status.getByText('online', { exact: true }).waitFor({ timeout: LIMIT });
  await person(page, bob).locator('.dot').waitFor();
  await there.context().close();
  await status.getByText(/^last seen \d/).waitFor({ timeout: LIMIT });
  assert.ok(!await person(page, bob).locator('.dot').isVisible());
});


test('presence is shown only where the server reports it', async () => {
  const page = await talk(alice, bob);
  const dot = person(page, bob).locator('.dot');
  const status = page.locator('#with-status');
  const yesterday = new Date();

  yesterday.setHours(-12);

  await request(page, 'POST', '/api/v1/message/',
                { recipient: bob.name, body: 'Hello' });

  const event = await present(page, false, yesterday.toISOString());

  await status.getByText(/^last seen yesterday/).waitFor();
  assert.ok(!await dot.isVisible());

  await eventually(async () => {
    event({ user: bob.name, online: true, last_seen_at: null });

    return await dot.isVisible();
  }, 'online', LIMIT);
  assert.equal(await status.textContent(), 'online');
  assert.ok(!await person(page, carol).locator('.dot').isVisible());

  event({ user: bob.name, online: false, last_seen_at: new Date() });
  await status.getByText(/^last seen \d/).waitFor();
  assert.ok(!await dot.isVisible());

  // unknown, as for a user that has blocked this one
  event({ user: bob.name, online: false, last_seen_at: null });
  await eventually(async () => await status.textContent() === '', 'unknown',
                   LIMIT);
});
