/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Checks every state of the page, in both widths and schemes, with axe-core, and
 * the contrast of its fields.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { alice, bob, carol, login, message, open, request, talk, visit, words,
         write } from './helpers.mjs';

const { resolve } = createRequire(import.meta.url);
const axe = readFileSync(resolve('axe-core/axe.min.js'), 'utf8');


/* Runs rules of axe-core, by default all of them. */
async function run(page, state, options = {}) {
  const { passes, violations } = await page.evaluate(
    (options) => window.axe.run({ ...options, preload: false }), options);
  const found = violations.map(({ impact, id, nodes }) =>
    `${impact} ${id}: ${nodes.map(({ target }) => target).join(', ')}`);

  assert.ok(passes.length > 0);
  assert.deepEqual(found, [], state);
}


/*
 * Returns controls whose border is too similar to what is around it (1.4.11 of
 * WCAG).  A canvas converts the colours.
 */
function faintBorders() {
  const context = document.createElement('canvas').getContext('2d');

  const luminance = (colour) => {
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);

    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data]
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92
                                        : ((value + 0.055) / 1.055) ** 2.4));

    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };

  const around = (node) => {
    for (let at = node.parentNode; at; at = at.parentNode ?? at.host) {
      const { backgroundColor: colour } = at instanceof Element
        ? getComputedStyle(at) : {};

      if (colour && !/, 0\)$|^transparent$/.test(colour)) {
        return colour;
      }
    }

    return 'Canvas';
  };

  return window.parts('input, textarea').filter((node) => node.checkVisibility())
    .map((node) => {
      const [one, other] = [getComputedStyle(node).borderTopColor, around(node)]
        .map(luminance).sort();

      return [node.id, (other + 0.05) / (one + 0.05)];
    })
    .filter(([, contrast]) => contrast < 3)
    .map(([id, contrast]) => `#${id} ${contrast}`);
}


/* Checks a state in both schemes, which differ in colours only. */
async function examine(page, state) {
  await page.evaluate(`window.axe ?? (() => { ${axe} })(); undefined`);

  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await run(page, `${state}, ${colorScheme}`, colorScheme === 'light' ? {}
      : { runOnly: ['color-contrast', 'link-in-text-block'] });
    assert.deepEqual(await page.evaluate(faintBorders), [],
                     `${state}, ${colorScheme}`);
  }

  await page.emulateMedia({ colorScheme: null });
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
  test(`the login page is accessible, on a ${size}`, async () => {
    const page = await visit('/login/', shape);

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

  test(`the list of users is accessible, on a ${size}`, async () => {
    const sender = await talk(carol, alice);

    await write(sender, words());

    const page = await open(alice, '/', shape);

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

  test(`a conversation is accessible, on a ${size}`, async () => {
    const page = await talk(alice, bob, shape);
    const [failed, pending] = [words('failed'), words('pending')];

    await write(page, words());
    await examine(page, 'messages');

    await page.route('**/api/v1/message/', (route) => route.fulfill({
      status: 400,
      json: { body: ['Not now.'] },
    }));
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

  test(`a blocked user is accessible, on a ${size}`, async () => {
    const page = await talk(alice, carol, shape);

    try {
      await request(page, 'PUT', `/api/v1/block/${carol.name}/`);
      await page.reload();
      await page.waitForSelector('#barred');
      await examine(page, 'blocked');

    } finally {
      await request(page, 'DELETE', `/api/v1/block/${carol.name}/`);
    }
  });

  test(`replies, edits, typing and presence are accessible, on a ${size}`,
       async () => {
    const page = await talk(alice, bob, shape);
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

  test(`a lost connection is accessible, on a ${size}`, async () => {
    const page = await talk(alice, bob, shape);

    await page.context().setOffline(true);
    await page.getByText('You are offline.').waitFor();
    await examine(page, 'offline');
  });
}
