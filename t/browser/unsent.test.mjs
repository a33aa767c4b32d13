/*
 * Copyright (C) ngx_chat contributors
 */

/* Texts that are not sent yet: drafts and the outbox. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, eventually, message, talk, words, write }
  from './helpers.mjs';
import { call, library, online } from './library.mjs';

const REFUSED = { status: 503, headers: { 'Retry-After': '1' }, body: '{}' };


test('a draft survives a reload, and is shown in the list', async () => {
  const page = await talk(alice, bob);
  const text = words('draft');

  await page.fill('#text', text);
  await page.reload();
  await page.waitForSelector('#log[aria-busy="false"]');
  assert.equal(await page.inputValue('#text'), text);

  await page.goto('about:blank');
  await page.goto(process.env.CHAT_URL);
  await page.getByText(`Draft: ${text}`).waitFor();
});


test('an unsent message is sent after a reload', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const text = words('unsent');

  await page.route('**/api/v1/message/', (route) => route.abort());
  await write(page, text);
  await message(page, text, 'waiting');
  await page.reload();
  await message(page, text, 'waiting');
  await page.unroute('**/api/v1/message/');
  await message(page, text, 'sent');
  await message(there, text);
});


test('another page sends the messages of one that was closed', async () => {
  const page = await talk(alice, bob);
  const there = await talk(bob, alice);
  const text = words('left');
  const second = await page.context().newPage();

  await second.goto(page.url());
  await second.waitForSelector('#log[aria-busy="false"]');
  await page.route('**/api/v1/message/', (route) => route.abort());
  await write(page, text);
  await message(page, text, 'waiting');
  await page.close();
  await message(there, text);
  await message(second, text, 'sent');
});


test('a busy server gets a message later, on the same connection', async () => {
  const page = await talk(alice, bob);
  const text = words('busy');
  let sockets = 0;

  page.on('websocket', () => sockets++);
  await page.route('**/api/v1/message/', (route) => route.fulfill(REFUSED),
                   { times: 2 });
  await write(page, text);
  await message(page, text, 'sent');
  assert.equal(sockets, 0, 'no reconnect');
});


test('a read mark that was made offline is sent by the next page', async () => {
  const found = await library(alice);
  const there = await talk(bob, alice);
  const text = words('read');
  const unread = () => found.evaluate((user) => window.chat
    .conversation(user).unread, bob.name);

  await call(found, 'start');
  await online(found);
  await write(there, text);
  await eventually(async () => await unread() > 0, 'it is unread');
  await found.route('**/read', (route) => route.abort());
  await call(found, 'markRead', bob.name);
  await found.waitForTimeout(500);
  await found.unroute('**/read');

  const marked = found.waitForResponse((response) =>
    response.url().endsWith('/read') && response.ok());

  // the next page of the same browser
  await found.goto(process.env.CHAT_URL);
  await marked;
});
