/*
 * Copyright (C) ngx_chat contributors
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alice, bob, carol, eventually, login, url, visit }
  from './helpers.mjs';


test('an unauthenticated user is redirected to the login page and back',
     async () => {
  const page = await visit(`/#/${bob.name}`);

  assert.equal(new URL(page.url()).pathname, '/login/');

  await login(page, alice);
  await page.waitForSelector('#conversation');

  assert.equal(page.url(), `${url}/#/${bob.name}`);
  assert.equal(await page.textContent('#with'), bob.name);
});


test('a wrong password is reported in the page', async () => {
  const page = await visit('/login/');

  await page.evaluate(() => { window.kept = true; });
  await login(page, { ...alice, password: 'wrong' });
  await page.waitForSelector('#error:not(:empty)');

  assert.ok(await page.evaluate(() => window.kept),
            'the page was not reloaded');
  assert.equal(await page.inputValue('#username'), alice.name);

  await login(page, alice);
  await page.waitForSelector('#me');
});


for (const [retryAfter, told] of [['7', '7 seconds.'], ['1', '1 second.']]) {
  test(`a throttled login asks the user to wait ${told}`, async () => {
    const page = await visit('/login/');

    await page.route('**/api/v1/session/', (route) => route.fulfill({
      status: 429,
      headers: { 'Retry-After': retryAfter },
      json: { detail: 'Too many tries.' },
    }));
    await login(page, alice);
    await page.waitForSelector('#error:not(:empty)');

    const error = await page.textContent('#error');
    assert.ok(error.includes(`wait ${told}`), error);
  });
}


test('the form works without scripts', async () => {
  const page = await visit('/login/?next=/%3Fa=b', {
    javaScriptEnabled: false,
  });

  await login(page, { ...alice, password: 'wrong' });
  await page.waitForSelector('#error:not(:empty)');

  await login(page, alice);
  await page.waitForURL(`${url}/?a=b`);
});


for (const next of ['//example.org/', '/\\example.org/', 'https://example.org/',
                    'javascript:alert(1)', '/.//example.org/', '%'])
{
  test(`after a login, "${next}" does not leave the site`, async () => {
    const page = await visit(`/login/?next=${encodeURIComponent(next)}`);

    await login(page, alice);
    await eventually(() => new URL(page.url()).pathname !== '/login/', 'gone');

    assert.equal(new URL(page.url()).host, new URL(url).host);
  });
}


test('a logout ends the session in every tab', async () => {
  const page = await visit('/login/');

  await login(page, carol);
  await page.waitForSelector('#me');

  const other = await page.context().newPage();

  await other.goto(url);
  await other.waitForSelector('.person');

  await page.click('#me');
  await page.click('#logout');
  await page.waitForSelector('#username');
  await other.waitForSelector('#username', { timeout: 20e3 });
});


test('a password change ends the other sessions', async () => {
  const fresh = `${carol.password}-new`;
  const page = await visit('/login/');
  const other = await visit('/login/');

  for (const window of [page, other]) {
    await login(window, carol);
    await window.waitForSelector('#me');
  }

  const change = async (from, to) => {
    await page.click('#me');
    await page.click('#change-password');
    await page.fill('#old-password', from);
    await page.fill('#new-password', to);

    const [response] = await Promise.all([
      page.waitForResponse('**/api/v1/password/'),
      page.click('#password-form .primary'),
    ]);

    return response.status();
  };

  assert.equal(await change('wrong', fresh), 403);
  await page.getByText('Wrong password.').waitFor();
  await page.click('#password-cancel');

  assert.equal(await change(carol.password, fresh), 204);
  await page.getByText('Your password has been changed.').waitFor();

  try {
    await other.waitForSelector('#username', { timeout: 20e3 });
    await login(other, carol);
    await other.waitForSelector('#error:not(:empty)');
    await login(other, { ...carol, password: fresh });
    await other.waitForSelector('#me');

  } finally {
    assert.equal(await change(fresh, carol.password), 204);
  }
});
