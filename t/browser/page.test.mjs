/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { alice, open } from './helpers.mjs';

const html = fileURLToPath(new URL('../../html', import.meta.url));


function weight(path) {
  return statSync(path).isDirectory()
    ? readdirSync(path).reduce((sum, name) => sum + weight(`${path}/${name}`), 0)
    : statSync(path).size;
}


test('the whole client is smaller than 60 kB', () => {
  assert.ok(weight(html) < 60000, `${weight(html)} bytes`);
});


test('the page forbids inline scripts, and needs none', async () => {
  const page = await open(alice);
  const response = await page.reload();
  const policy = response.headers()['content-security-policy'];

  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(await response.text(), /<script>|<style| (style|on[a-z]+)=/);
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
