/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Browser caches: files of a replaced version, and pages for the back button,
 * which Playwright disables by default.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, cpSync, mkdtempSync, readdirSync,
         readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { alice, bob, carol, eventually, launch, login, open, url, visit }
  from './helpers.mjs';

const skip = !process.env.CHAT_DEV && 'no CHAT_DEV';
const html = fileURLToPath(new URL('../../html', import.meta.url));

// Chromium without windows has no back/forward cache
const from = await launch('/usr/bin/chromium', '--disable-back-forward-cache');

after(() => from.close());


/* Serves the site from another folder until the returned function is called. */
async function serve(folder) {
  const conf = join(process.env.CHAT_RUN, 'nginx.conf');
  const before = readFileSync(conf, 'utf8');

  const use = async (text) => {
    const pid = Number(readFileSync(join(process.env.CHAT_RUN, 'nginx.pid')));

    writeFileSync(conf, text);
    execFileSync('nginx', ['-t', '-q', '-c', conf], { stdio: 'ignore' });
    process.kill(pid, 'SIGHUP');
  };

  const text = before.replace(/^( *root +)[^;]+;/m, `$1${folder};`);

  assert.notEqual(text, before);
  await use(text);
  await eventually(async () => (await fetch(`${url}/static/version.js`)).ok,
                   'the other folder is served');

  return () => use(before);
}


/* Sets the time of files to a month ago, as in a package. */
function age(folder, days) {
  const time = Date.now() / 1e3 - days * 86400;

  for (const name of readdirSync(folder, { recursive: true })) {
    utimesSync(join(folder, name), time, time);
  }
}


test('a page never mixes files of two versions after an upgrade', { skip },
     async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ngx_chat.'));
  const files = readdirSync(html, { recursive: true })
    .filter((name) => /\.(html|js|css)$/.test(name));

  /* Each file has its version, which the page can read. */
  const version = (number) => {
    cpSync(html, folder, { recursive: true });
    writeFileSync(join(folder, 'static/version.js'), '');

    for (const file of files) {
      const mark = file.endsWith('.js')
        ? `(window.versions ??= {})['${file}'] = ${number};`
        : file.endsWith('.css') ? `:root { --version: ${number}; }`
        : `<meta name="version" content="${number}">`;

      appendFileSync(join(folder, file), `\n${mark}\n`);
    }

    age(folder, 100 - number);
  };

  const seen = (page) => page.evaluate(() => ({
    html: Number(document.querySelector('meta[name=version]').content),
    css: Number(getComputedStyle(document.documentElement)
      .getPropertyValue('--version')),
    ...window.versions,
  }));

  const all = async (page, number, what) => {
    await page.waitForFunction(() => Object.keys(window.versions ?? {})
      .length >= 3);

    const found = await seen(page);

    for (const [file, of] of Object.entries(found)) {
      assert.equal(of, number, `${file} ${what}`);
    }
  };

  chmodSync(folder, 0o755);
  version(1);

  const restore = await serve(folder);

  try {
    const page = await visit('/login/');

    await all(page, 1, 'of the login page');
    await login(page, alice);
    await page.waitForSelector('#me');
    await all(page, 1, 'of the page');

    // fresh files are not requested again
    await page.goto('about:blank');
    await page.goto(url);
    await page.waitForSelector('#me');

    version(2);

    await page.goto('about:blank');
    await page.goto(url);
    await page.waitForSelector('#me');
    await all(page, 2, 'after going there');

    version(3);
    await page.reload();
    await page.waitForSelector('#me');
    await all(page, 3, 'after a reload');

    version(4);

    const other = await page.context().newPage();

    await other.goto(`${url}/login/`);
    await all(other, 4, 'of the login page in another tab');
    await other.evaluate(() => location.assign('/'));
    await other.waitForSelector('#me');
    await all(other, 4, 'in another tab');

  } finally {
    await restore();
    rmSync(folder, { recursive: true });
    await eventually(async () => !(await fetch(`${url}/static/version.js`)).ok,
                     'the original folder is served');
  }
});


/* Records the visible state of a page that is restored from the cache. */
function note() {
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) {
      sessionStorage.setItem('back', JSON.stringify({
        shown: document.documentElement.checkVisibility(),
        title: document.title,
        fields: [...document.querySelectorAll('input')]
          .map(({ value }) => value).join(''),
      }));
    }
  });
}


/* Leaves the page and returns; returns the state that was visible at once. */
async function back(page, how = () => page.goBack()) {
  await page.goto(`${url}/static/icon.svg`);
  await how().catch(() => {});
  await eventually(async () => page.evaluate(
    () => sessionStorage.getItem('back')).catch(() => null),
                   'the page was restored');

  return JSON.parse(await page.evaluate(() => sessionStorage.getItem('back')));
}


test('a login page restored from the cache has empty fields', async () => {
  const page = await visit('/login/', { from, init: note });

  await page.fill('#username', alice.name);
  await page.fill('#password', alice.password);

  const { fields } = await back(page);

  assert.equal(fields, '');
  await page.waitForSelector('#username');
  assert.equal(await page.inputValue('#password'), '');
  assert.equal(await page.inputValue('#username'), '');
  await page.context().close();
});


test('a restored page is hidden until it has checked the session', async () => {
  const page = await visit(`/login/?next=${encodeURIComponent(`/#/${bob.name}`)}`,
                           { from, init: note });

  await login(page, alice);
  await page.waitForSelector('#log[aria-busy="false"]');
  await page.fill('#text', 'a draft');

  const { shown, title } = await back(page);

  assert.equal(shown, false);
  assert.equal(title, 'Chat');
  await page.waitForSelector('#me');
  assert.equal(await page.textContent('#me .name'), alice.name);

  // another user has logged in meanwhile
  await page.fill('#text', 'a draft');
  await page.evaluate(() => sessionStorage.clear());
  await page.goto(`${url}/login/`);
  await login(page, bob);
  await page.waitForSelector('#me');
  await page.goBack().catch(() => {});
  await page.goBack().catch(() => {});
  await page.waitForSelector('#me');
  await eventually(async () => await page.textContent('#me .name') === bob.name,
                   'the page belongs to bob');
  assert.ok(!await page.evaluate(() => document.documentElement.hidden));
  assert.equal(await page.inputValue('#text'), '', 'without the draft');
  await page.context().close();
});


for (const [kind, options] of [['with', { from }], ['without', {}]]) {
  test(`the back button leads to the login page after a logout, ${kind} cache`,
       async () => {
    const page = await visit('/login/', { ...options, init: note });

    await login(page, alice);
    await page.waitForSelector('.person');
    await page.locator('.person', { hasText: bob.name }).click();
    await page.waitForSelector('#conversation');
    await page.click('#me');
    await page.click('#logout');
    await page.waitForSelector('#username');

    for (let i = 0; i < 2; i++) {
      await page.evaluate(() => sessionStorage.clear());
      await page.goBack().catch(() => {});

      await eventually(async () => page.isVisible('#username').catch(() => false),
                       'the login page');
      assert.ok(!await page.isVisible('#app').catch(() => false));

      const seen = await page.evaluate(() => sessionStorage.getItem('back'));

      assert.ok(!seen || !JSON.parse(seen).shown || JSON.parse(seen).title
                                                    .startsWith('Log in'));
    }

    await page.context().close();
  });
}


test('a restored form has no draft of another user', async () => {
  const page = await open(alice, `/#/${carol.name}`);

  assert.equal(await page.getAttribute('#text', 'autocomplete'), 'off');
  await page.fill('#text', 'a draft');
  await page.context().clearCookies();
  await page.goto(`${url}/login/`);
  await login(page, bob);
  await page.waitForSelector('#me');
  await page.goto(`${url}/#/${carol.name}`);
  await page.waitForSelector('#log[aria-busy="false"]');
  assert.equal(await page.inputValue('#text'), '');
});
