/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { alice, open } from './helpers.mjs';

const html = fileURLToPath(new URL('../../html', import.meta.url));


test('the whole client, in one language, is smaller than 65 kB compressed',
     () => {
  const files = [html, `${html}/static`]
    .flatMap((dir) => readdirSync(dir).map((name) => `${dir}/${name}`))
    .filter((path) => statSync(path).isFile())
    .filter((path) => !/text-(?!en)\w+\.js$/.test(path))
    .map((path) => readFileSync(path));
  const sum = (sizes) => sizes.reduce((sum, { length }) => sum + length, 0);
  const sent = sum(files.map((file) => gzipSync(file, { level: 6 })));

  assert.ok(sent < 65000, `${sent} bytes compressed`);
});


test('the page forbids inline scripts and has none', async () => {
  const page = await open(alice);
  const response = await page.reload();
  const policy = response.headers()['content-security-policy'];

  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  assert.doesNotMatch(await response.text(),
                      /<script>|<style| (style|on[a-z]+)=/);
});


test('the page requests all of its modules at once', async () => {
  const page = await open(alice);
  const [used, named] = await page.evaluate(() => [
    performance.getEntriesByType('resource').map(({ name }) => name)
      .filter((name) => name.endsWith('.js')),
    [...document.querySelectorAll('script, link[rel=modulepreload]')]
      .map(({ src, href }) => src ?? href),
  ]);

  assert.deepEqual([...new Set(used)].sort(), named.sort());
});


test('the library does not depend on the page', async () => {
  const page = await open(alice);

  const me = await page.evaluate(async () => {
    const { Chat } = await import('/static/chat.js');
    const chat = new Chat();

    await chat.start();

    return chat.me;
  });

  assert.equal(me, alice.name);
});


test('a client respects a date in Retry-After',
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
