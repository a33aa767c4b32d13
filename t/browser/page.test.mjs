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
