/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * A front end written for the Django app, with jQuery: its requests, its socket
 * and the members of responses it uses, in a page of the same host.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { alice, bob, eventually, open, words } from './helpers.mjs';

const { resolve } = createRequire(import.meta.url);
const jquery = readFileSync(resolve('jquery'), 'utf8');


/* The code of that front end after it has loaded. */
function frontEnd() {
  window.heard = [];
  window.fetched = [];

  const socket = new WebSocket(`ws://${window.location.host}/ws?session_key=x`);

  socket.onmessage = (e) => {
    window.heard.push(e.data);

    const { message: id } = JSON.parse(e.data);

    $.getJSON(`/api/v1/message/${id}/`, (data) => window.fetched.push(data));
  };

  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onclose = (event) => reject(new Error(`closed: ${event.code}`));
  });
}


async function start(person) {
  const page = await open(person);

  await page.evaluate(`${jquery}; undefined`);
  await page.evaluate(frontEnd);

  return page;
}


test('an unchanged jQuery front end lists, sends and receives messages',
     async () => {
  const here = await start(alice);
  const there = await start(bob);
  const body = words('Grüße & <b>markup</b> + 100% \u{1F600}');

  const users = await here.evaluate(() => $.getJSON('api/v1/user/'));

  assert.ok(users.some(({ username }) => username === bob.name));
  assert.ok(!users.some(({ username }) => username === alice.name));

  const sent = await here.evaluate(([recipient, body]) =>
    $.post('/api/v1/message/', { recipient, body }), [bob.name, body]);

  assert.deepEqual(Object.keys(sent),
                   ['id', 'user', 'recipient', 'timestamp', 'body']);
  assert.equal(sent.user, alice.name);
  assert.equal(sent.recipient, bob.name);
  assert.equal(sent.body, body);
  assert.match(sent.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);

  for (const page of [here, there]) {
    await eventually(() => page.evaluate(() => window.fetched.length === 1),
                     'told');
    assert.deepEqual(await page.evaluate(() => window.heard),
                     [`{"message": "${sent.id}"}`]);
    assert.deepEqual(await page.evaluate(() => window.fetched), [sent]);
  }

  const list = await there.evaluate((user) =>
    $.getJSON(`/api/v1/message/?target=${user}`), alice.name);

  assert.deepEqual(Object.keys(list), ['count', 'next', 'previous', 'results']);
  assert.ok(list.count >= list.results.length);
  assert.ok(list.results.length <= 15);
  assert.deepEqual(list.results[0], sent);
});
