/*
 * Copyright (C) ngx_chat contributors
 */

/* The catalogues of texts, and the page in other languages. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { alice, bob, login, message, open, talk, visit, words, write }
  from './helpers.mjs';

const folder = fileURLToPath(new URL('../../html/static/', import.meta.url));
const files = readdirSync(folder);
const languages = files.map((name) => /^text-(\w+)\.js$/.exec(name)?.[1])
  .filter(Boolean);


async function catalogue(language) {
  const code = readFileSync(`${folder}text-${language}.js`, 'utf8');
  const module = await import(
    `data:text/javascript,${encodeURIComponent(code)}`);

  return module.default;
}


const english = await catalogue('en');


function placeholders(text) {
  return (text.match(/\{\w+\}/g) ?? []).sort();
}


test('there are six languages', () => {
  assert.deepEqual(languages.sort(), ['ar', 'de', 'en', 'es', 'fr', 'ja']);
});


for (const language of languages) {
  test(`the catalogue "${language}" is complete`, async () => {
    const texts = await catalogue(language);
    const { pluralCategories } = new Intl.PluralRules(language)
      .resolvedOptions();

    assert.deepEqual(Object.keys(texts).sort(), Object.keys(english).sort());

    for (const [key, text] of Object.entries(texts)) {
      const original = english[key];
      const forms = typeof text === 'string' ? { other: text } : text;

      assert.equal(typeof text, typeof original, key);

      if (typeof text !== 'string') {
        assert.deepEqual(Object.keys(text).sort(),
                         [...pluralCategories].sort(), `forms of ${key}`);
      }

      for (const form of Object.values(forms)) {
        assert.ok(form.trim(), key);
        assert.deepEqual(placeholders(form),
                         placeholders(original.other ?? original), key);
      }
    }
  });
}


test('every text is used, and every used text exists', () => {
  const code = files.filter((name) => name.endsWith('.js')
                                      && !name.startsWith('text-'))
    .map((name) => readFileSync(folder + name, 'utf8'))
    .concat(readFileSync(`${folder}../login.html`, 'utf8'))
    .join('\n');
  const errors = readFileSync(`${folder}text-en.js`, 'utf8')
    .split('// errors')[1];

  for (const key of Object.keys(english)) {
    assert.ok(code.includes(`'${key}'`) || code.includes(`"${key}"`)
              || errors.includes(`  ${key}: `) || /^wrong/.test(key), key);
  }

  const used = [
    ...code.matchAll(/data-(?:text|label|placeholder)="(\w+)"/g),
    ...code.matchAll(/\b(?:texts\.get|view\.t|this\.t)\('(\w+)'/g),
  ].map(([, key]) => key);

  assert.ok(used.length > 50);

  for (const key of used) {
    assert.ok(key in english, `"${key}" exists`);
  }
});


test('the page uses the language of the browser', async () => {
  const page = await visit('/login/', { locale: 'de-CH' });

  assert.equal(await page.textContent('h1'), 'Willkommen zurück');
  assert.equal(await page.title(), 'Anmelden · Chat');
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  await login(page, alice);
  await page.waitForSelector('#me');
  assert.equal(await page.getAttribute('#search', 'placeholder'),
               'Personen suchen');

  const other = await open(alice, '/', { locale: 'pt-BR' });

  assert.equal(await other.getAttribute('#search', 'placeholder'),
               'Search people', 'English without a catalogue');
});


test('errors of the server are translated', async () => {
  const page = await visit('/login/', { locale: 'fr-FR' });

  for (const [answer, text] of [
    [{ status: 403, json: { detail: 'Wrong username or password.' } },
     'Le nom ou le mot de passe est incorrect.'],
    [{ status: 429, headers: { 'Retry-After': '7' }, json: { detail: 'No.' } },
     'Trop de tentatives. Veuillez attendre 7 secondes.'],
    [{ status: 503, json: { detail: 'Later.' } },
     'Le serveur n’est pas prêt pour le moment.'],
  ]) {
    await page.route('**/api/v1/session/', (route) => route.fulfill(answer));
    await login(page, alice);
    await page.locator('#error', { hasText: text }).waitFor();
    await page.unroute('**/api/v1/session/');
  }
});


test('Arabic is written from right to left', async () => {
  const page = await talk(alice, bob, { locale: 'ar' });
  const text = words('Hello');

  await write(page, text);

  const mine = await message(page, text, 'sent');
  const [people, list, bubble, log] = await Promise.all([
    '.people', '#search', '.mine.sent .bubble >> nth=-1', '#log',
  ].map((selector) => page.locator(selector).boundingBox()));

  assert.equal(await page.getAttribute('html', 'dir'), 'rtl');
  assert.ok(people.x > log.x, 'the list is on the right');
  assert.ok(list.x > log.x + log.width - 1);
  assert.ok(bubble.x - log.x < log.x + log.width - bubble.x - bubble.width,
            'own messages are on the left');
  assert.equal(await mine.locator('.meta svg').getAttribute('aria-label'),
               'أُرسلت');

  // the menu stays within the window
  await mine.locator('.more').click();

  const menu = await page.locator('#message-menu').boundingBox();

  assert.ok(menu.x >= 0 && menu.x + menu.width <= 1280);
});
