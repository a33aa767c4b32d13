/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { alice, open } from './helpers.mjs';

const html = fileURLToPath(new URL('../../html', import.meta.url));


test('the whole client is smaller than 60 kB', () => {
  const bytes = [html, `${html}/static`]
    .flatMap((dir) => readdirSync(dir).map((name) => `${dir}/${name}`))
    .map((path) => statSync(path))
    .filter((found) => found.isFile())
    .reduce((sum, { size }) => sum + size, 0);

  assert.ok(bytes < 60000, `${bytes} bytes`);
});


test('the page forbids inline scripts, and needs none', async () => {
  const page = await open(alice);
  const response = await page.reload();
  const policy = response.headers()['content-security-policy'];

  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(await response.text(),
                      /<script>|<style| (style|on[a-z]+)=/);
});


test('the library has no page of its own', async () => {
  const page = await open(alice);

  const me = await page.evaluate(async () => {
    const { Chat } = await import('/static/chat.js');
    const chat = new Chat();

    await chat.start();

    return chat.me;
  });

  assert.equal(me, alice.name);
});


test('a server that names a date to come back at is not asked on and on',
     async () => {
  const page = await open(alice);
  let asked = 0;

  await page.route('**/api/v1/session/?*', (route) => {
    asked++;

    return route.fulfill({
      status: 503,
      headers: { 'Retry-After': 'Wed, 21 Oct 2065 07:28:00 GMT' },
      json: { detail: 'Later.' },
    });
  });
  await page.reload();
  await page.getByText('Trying again').waitFor();
  await page.waitForTimeout(1500);
  assert.equal(asked, 1);

  await page.unroute('**/api/v1/session/?*');
  await page.waitForSelector('.person');
});
