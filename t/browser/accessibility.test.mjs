/*
 * Copyright (C) ngx_chat contributors
 */

/* Checks every state of the page, in both widths and schemes, with axe-core. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { alice, bob, carol, login, message, open, request, talk, visit, words,
         write } from './helpers.mjs';

const { resolve } = createRequire(import.meta.url);
const axe = readFileSync(resolve('axe-core/axe.min.js'), 'utf8');


async function examine(page, state) {
  await page.evaluate(`${axe}; undefined`);

  const { passes, violations } = await page.evaluate(() => window.axe.run());
  const found = violations.map(({ impact, id, nodes }) =>
    `${impact} ${id}: ${nodes.map(({ target }) => target).join(', ')}`);

  assert.ok(passes.length > 0);
  assert.deepEqual(found, [], state);
}


const sizes = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: {
    viewport: { width: 390, height: 844 },
    isMobile: true,
    hasTouch: true,
  },
};

for (const [size, shape] of Object.entries(sizes)) {
  for (const colorScheme of ['light', 'dark']) {
    const options = { ...shape, colorScheme };
    const look = `on a ${size}, ${colorScheme}`;

    test(`the login page is accessible, ${look}`, async () => {
      const page = await visit('/login/', options);

      await examine(page, 'login');

      // the server would count a real failure
      await page.route('**/api/v1/session/', (route) => route.fulfill({
        status: 403,
        json: { detail: 'Wrong name or password.' },
      }));
      await login(page, alice);
      await page.waitForSelector('#error:not(:empty)');
      await examine(page, 'login failed');
    });

    test(`the list of users is accessible, ${look}`, async () => {
      const sender = await talk(carol, alice);

      await write(sender, words());

      const page = await open(alice, '/', options);

      await page.waitForSelector('.badge:visible');
      await examine(page, 'people');

      await page.click('#me');
      await page.waitForSelector('#menu button');
      await examine(page, 'menu');

      await page.click('#change-password');
      await page.waitForSelector('dialog');
      await examine(page, 'change of password');
      await page.click('#password-cancel');

      await page.fill('#search', 'nobody-at-all');
      await page.getByText('No user found').waitFor();
      await examine(page, 'no user found');
    });

    test(`a conversation is accessible, ${look}`, async () => {
      const page = await talk(alice, bob, options);
      const [failed, pending] = [words('failed'), words('pending')];

      await write(page, words());
      await examine(page, 'messages');

      await page.route('**/api/v1/message/', (route) => route.abort());
      await write(page, failed);
      await message(page, failed, 'failed');
      await page.unroute('**/api/v1/message/');
      await page.route('**/api/v1/message/', () => {});
      await write(page, pending);
      await message(page, pending, 'pending');
      await examine(page, 'failed and pending');

      await page.unroute('**/api/v1/message/');
      await page.locator('.sent .more').last().click();
      await page.waitForSelector('#reply');
      await examine(page, 'menu of a message');
      await page.click('#delete');
      await page.waitForSelector('#confirm');
      await examine(page, 'confirmation');
      await page.click('#confirm-cancel');

      await page.locator('.sent .more').last().click();
      await page.click('#reply');
      await page.waitForSelector('#about');
      await page.fill('#text', words('reply'));
      await examine(page, 'reply');

      await page.click('#talk-more');
      await page.waitForSelector('#block');
      await examine(page, 'menu of the conversation');
      await page.click('#find-here');
      await page.fill('#find-text', 'Hello');
      await page.getByText(/^\d+ (or more )?found$/).waitFor();
      await examine(page, 'search of messages');
      await page.keyboard.press('Escape');

      await page.evaluate(() => { location.hash = '#/nobody-at-all'; });
      await page.getByText('No messages yet').waitFor();
      await examine(page, 'empty conversation');
    });

    test(`a blocked user is accessible, ${look}`, async () => {
      const page = await talk(alice, carol, options);

      try {
        await request(page, 'PUT', `/api/v1/block/${carol.name}/`);
        await page.reload();
        await page.waitForSelector('#barred');
        await examine(page, 'blocked');

      } finally {
        await request(page, 'DELETE', `/api/v1/block/${carol.name}/`);
      }
    });

    test(`replies, edits, typing and presence are accessible, ${look}`,
         async () => {
      const page = await talk(alice, bob, options);
      const text = words();

      await write(page, text);
      await (await message(page, text, 'sent')).locator('.more').click();
      await page.click('#reply');
      await write(page, words('reply'));
      await page.locator('.sent .quote').last().waitFor();
      await page.press('#text', 'ArrowUp');
      await page.waitForSelector('#about');
      await page.keyboard.type('!');
      await page.keyboard.press('Enter');
      await page.locator('.sent').getByText('edited', { exact: true }).last()
        .waitFor();
      await page.evaluate(() => {
        const status = window.part('#with-status');

        status.textContent = 'typing…';
        status.classList.add('typing');
        window.part('.person').classList.add('typing');
        window.part('.dot').hidden = false;
      });
      await examine(page, 'reply, edit, typing');
    });

    test(`a lost connection is accessible, ${look}`, async () => {
      const page = await talk(alice, bob, options);

      await page.context().setOffline(true);
      await page.getByText('You are offline.').waitFor();
      await examine(page, 'offline');
    });
  }
}
