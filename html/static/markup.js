/*
 * Copyright (C) ngx_chat contributors
 */

/*
 * The contents of the elements.  Texts are inserted by Texts.translate(), those
 * of users as textContent.
 */

const icons = {
  back: '<path d="M15 5l-7 7 7 7"/>',
  down: '<path d="M12 5v14M5.5 12.5L12 19l6.5-6.5"/>',
  send: '<path d="M12 20V4.5M5 11l7-7 7 7"/>',
  menu: '<path d="M6 9.5l6 6 6-6"/>',
  search: '<circle cx="11" cy="11" r="6.5"/><path d="M16 16l4.5 4.5"/>',
  pending: '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3.5 2"/>',
  sent: '<path d="M5 12.5l5 5L19.5 7"/>',
  failed: '<circle cx="12" cy="12" r="9"/><path d="M12 7v6M12 16.5v.01"/>',
  read: '<path d="M1.5 12.5l5 5L16 7M12 16.5l1 1L22.5 7"/>',
  more: '<path d="M12 5.5v.01M12 12v.01M12 18.5v.01"/>',
  close: '<path d="M6 6l12 12M18 6L6 18"/>',
  talk: `<path d="M7 5h10a3 3 0 0 1 3 3v6a3 3 0 0 1-3 3h-5l-4.5 3.5V17H7a3 3 0
         0 1-3-3V8a3 3 0 0 1 3-3z"/>`,
};

const symbols = Object.entries(icons).map(([name, shape]) =>
  `<symbol id="i-${name}" viewBox="0 0 24 24">${shape}</symbol>`).join('');

const icon = (name) => `<svg aria-hidden="true"><use href="#i-${name}"/></svg>`;


/* The frame of all elements, before and without a session. */
const frame = (inside) => `
<svg hidden>${symbols}</svg>
<div class="shell" id="shell">
  <p class="lost" id="lost" role="status"></p>
  <div class="empty" id="gate" hidden>
    ${icon('talk')}
    <h2 data-text="signedOut"></h2>
    <p><a class="link" id="login" data-text="logIn"></a></p>
  </div>
  ${inside}
  <p class="notice" id="notice" role="status"></p>
  <p class="hidden" id="spoken" role="status"></p>
</div>`;


const people = `
<nav class="people" id="people" data-label="people" part="people">
  <header class="bar">
    <button class="me" id="me" popovertarget="menu">
      <span class="avatar" aria-hidden="true"></span>
      <span class="name" dir="auto"></span>
      <span class="hidden" data-text="yourAccount"></span>
      ${icon('menu')}
    </button>
  </header>
  <div class="menu" id="menu" popover>
    <button id="find-all" data-text="searchMessages"></button>
    <button id="notify" hidden data-text="notifications"></button>
    <button id="sound" hidden data-text="sound"></button>
    <button id="change-password" data-text="changePassword"></button>
    <button id="logout" data-text="logOut"></button>
  </div>

  <div class="search" role="search">
    ${icon('search')}
    <input type="search" id="search" data-label="searchPeople"
           data-placeholder="searchPeople" autocomplete="off"
           autocapitalize="none" spellcheck="false" dir="auto">
  </div>

  <div class="lists" id="lists">
    <h2 class="hidden" data-text="conversations"></h2>
    <ul id="inbox"></ul>
    <h2 id="others-title" data-text="people"></h2>
    <ul id="others"></ul>
    <p class="muted" id="nobody"></p>
  </div>
</nav>

<dialog class="sheet" id="password" aria-labelledby="password-title">
  <form id="password-form">
    <h2 id="password-title" data-text="changePassword"></h2>
    <p class="muted" data-text="otherSessionsEnd"></p>
    <p class="error" id="password-error" role="alert"></p>
    <input id="username" autocomplete="username" hidden>
    <label for="old-password" data-text="currentPassword"></label>
    <input id="old-password" type="password" autocomplete="current-password"
           required>
    <label for="new-password" data-text="newPassword"></label>
    <input id="new-password" type="password" autocomplete="new-password"
           required>
    <div class="row">
      <button type="button" class="quiet" id="password-cancel"
              data-text="cancel"></button>
      <button class="primary" data-text="save"></button>
    </div>
  </form>
</dialog>

<template id="t-person">
  <li><a class="person">
    <span class="avatar" aria-hidden="true"></span>
    <span class="dot" hidden><span class="hidden" data-text="online"></span></span>
    <span class="name" dir="auto"></span>
    <time></time>
    <span class="badge" hidden><span></span><span class="hidden"
      data-text="unread"></span></span>
    <span class="preview" dir="auto"></span>
  </a></li>
</template>`;


const welcome = `
<div class="empty" id="welcome">
  ${icon('talk')}
  <h2 data-text="yourMessages"></h2>
  <p class="muted" data-text="choosePerson"></p>
</div>`;


const conversation = `
<section class="conversation" id="conversation" aria-labelledby="with" hidden>
  <header class="bar" part="header">
    <a class="icon back" id="back" data-label="backToPeople">${icon('back')}</a>
    <span class="avatar" id="with-avatar" aria-hidden="true"></span>
    <div class="with">
      <h2 id="with" tabindex="-1" dir="auto"></h2>
      <p class="status" id="with-status"></p>
    </div>
    <button class="icon more" id="talk-more" popovertarget="talk-menu"
            data-label="conversationMenu">${icon('more')}</button>
  </header>
  <div class="menu" id="talk-menu" popover>
    <button id="find-here" data-text="searchMessages"></button>
    <button id="block"></button>
  </div>

  <div class="log" id="log" role="log" aria-live="off" aria-labelledby="with"
       tabindex="0" part="log">
    <p id="older" hidden><span data-text="messagesDidNotLoad"></span>
      <button class="link" id="load-again" data-text="tryAgain"></button></p>
    <div class="empty" id="silence" hidden>
      ${icon('talk')}
      <h3 data-text="noMessages"></h3>
      <p class="muted" id="silence-text"></p>
    </div>
    <ol id="messages"></ol>
  </div>

  <button class="pill" id="pill" hidden><span></span>${icon('down')}</button>

  <div class="menu" id="message-menu" popover>
    <button id="reply" autofocus data-text="reply"></button>
    <button id="edit" data-text="edit"></button>
    <button id="delete" data-text="delete"></button>
  </div>

  <p class="barred" id="barred" hidden>
    <span id="barred-text"></span>
    <button class="link" id="unblock" data-text="unblock"></button>
  </p>

  <form class="composer" id="composer" part="composer">
    <div class="about" id="about" hidden>
      <p>
        <span class="about-title" id="about-title"></span>
        <span class="about-text" id="about-text" dir="auto"></span>
      </p>
      <button type="button" class="icon more" id="about-cancel"
              data-label="cancel">${icon('close')}</button>
    </div>
    <textarea id="text" rows="1" data-placeholder="writeMessage" dir="auto"
              autocomplete="off" part="text"></textarea>
    <button class="icon primary" data-label="send"
            part="send">${icon('send')}</button>
  </form>
</section>

<dialog class="sheet" id="confirm" aria-labelledby="confirm-title"
        aria-describedby="confirm-text">
  <form id="confirm-form">
    <h2 id="confirm-title"></h2>
    <p class="muted" id="confirm-text"></p>
    <p class="error" id="confirm-error" role="alert"></p>
    <div class="row">
      <button type="button" class="quiet" id="confirm-cancel"
              data-text="cancel"></button>
      <button class="danger" id="confirm-action"></button>
    </div>
  </form>
</dialog>

<dialog class="sheet find" id="find" aria-labelledby="find-title">
  <form id="find-form">
    <div class="find-head">
      <h2 id="find-title"></h2>
      <button type="button" class="icon more" id="find-close"
              data-label="close">${icon('close')}</button>
    </div>
    <input type="search" id="find-text" data-label="text"
           data-placeholder="textOfMessage" maxlength="100" autocomplete="off"
           dir="auto" autofocus>
    <p class="muted" id="find-state" role="status"></p>
  </form>
  <div class="found-list">
    <ol id="hits"></ol>
    <button class="link" id="find-more" hidden data-text="moreResults"></button>
  </div>
</dialog>

<template id="t-hit">
  <li><button class="hit">
    <span class="name" dir="auto"></span>
    <time></time>
    <span class="preview" dir="auto"><span></span><mark></mark><span></span></span>
  </button></li>
</template>

<template id="t-day"><li class="day"><h3></h3></li></template>

<template id="t-new"><li class="new"><h3 data-text="new"></h3></li></template>

<template id="t-message">
  <li class="message" tabindex="-1">
    <div class="line">
      <div class="bubble" part="bubble">
        <span class="hidden by"></span>
        <span class="text" dir="auto"></span>
        <span class="meta"><time></time></span>
      </div>
    </div>
  </li>
</template>

<template id="t-mark"><svg role="img"><use/></svg></template>

<template id="t-edited"><span class="edited" data-text="edited"></span></template>

<template id="t-more">
  <button class="icon more" popovertarget="message-menu"
          data-label="messageMenu">${icon('more')}</button>
</template>

<template id="t-quote">
  <button class="quote"><span class="quote-by" dir="auto"></span><span
    class="quote-text" dir="auto"></span></button>
</template>

<template id="t-fault">
  <p class="fault" role="alert">
    <span></span>
    <button class="link" name="retry" data-text="tryAgain"></button>
    <button class="link" name="edit" data-text="edit"></button>
  </p>
</template>`;


/** Inbox and conversation. */
export const INBOX = frame(`
<div class="app" id="app" role="main" hidden>
  <h1 class="hidden" data-text="title"></h1>
  ${people}
  <div class="talk">${welcome}${conversation}</div>
</div>`);

/** One conversation. */
export const BOX = frame(`
<div class="app" id="app" hidden>
  <div class="talk">${conversation}</div>
</div>`);

/** A button with a panel. */
export const BUTTON = `
<svg hidden>${symbols}</svg>
<div class="floating" id="shell">
  <div class="panel" id="panel" role="dialog" part="panel" hidden>
    <div class="panel-head">
      <span data-text="title"></span>
      <button class="icon more" id="close" data-label="close">${icon('close')}</button>
    </div>
  </div>
  <button class="float" id="toggle" aria-expanded="false" aria-controls="panel"
          part="button">
    ${icon('talk')}
    <span class="badge" id="count" part="count" hidden></span>
  </button>
</div>`;
