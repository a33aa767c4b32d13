-- The tables of ngx_chat, version 9, for MariaDB 10.6 and MySQL 8.0 or later.
-- "chatctl db init" loads this file into an empty database.  The numbered
-- files in sql/migrations/ upgrade existing tables.
--
-- Only src/query/, sql/ and lib/ name these tables and columns.

SET NAMES utf8mb4;


-- One row: the version of the schema.  Each connection of the module checks it.
-- Besides the current version the module accepts the previous one.

CREATE TABLE chat_schema (
    version       INT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE=InnoDB;

INSERT INTO chat_schema (version) VALUES (9);


-- Users.  Names are compared without case, but with accents: the generated
-- column contains the lower-cased name and is unique.
-- password: a crypt(3) string, Django's "pbkdf2_sha256$...", or "!" for none.
-- session_floor: sessions with ids up to this one have ended.  Raising it ends
-- all sessions of the user at once, however many exist.
-- display_name, avatar_url: shown by clients; NULL: none.  The rows of
-- chat_user_word follow from display_name.
--
-- A new name consists of visible characters: ASCII letters, digits and _.@+-,
-- and other characters outside the ranges of chat_user_name, which are also in
-- ngx_chat_unicode.c and chatctl.  It does not begin with a combining mark and
-- is not "." or "..".  "chatctl" also normalizes it to NFC, which a CHECK
-- cannot express.  Rows of earlier versions and imports that break the rule
-- have name_unchecked set.

CREATE TABLE chat_user (
    id            INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username      VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    username_key  VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin
                  GENERATED ALWAYS AS (LOWER(username)) STORED,
    name_unchecked  BOOLEAN NOT NULL DEFAULT FALSE,
    password      VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL DEFAULT '!',
    is_admin      BOOLEAN NOT NULL DEFAULT FALSE,
    is_active     BOOLEAN NOT NULL DEFAULT TRUE,
    created_at    DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    last_seen_at  DATETIME(6) NULL,
    session_floor BIGINT UNSIGNED NOT NULL DEFAULT 0,
    display_name  VARCHAR(100) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,
    avatar_url    VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NULL,

    UNIQUE KEY name (username_key),
    CONSTRAINT chat_user_name CHECK (name_unchecked OR username NOT REGEXP
        '[\\x{0}-\\x{2A}\\x{2C}\\x{2F}\\x{3A}-\\x{3F}\\x{5B}-\\x{5E}\\x{60}'
        '\\x{7B}-\\x{A0}\\x{AD}\\x{34F}\\x{600}-\\x{605}\\x{61C}\\x{6DD}'
        '\\x{70F}\\x{890}-\\x{891}\\x{8E2}\\x{115F}-\\x{1160}\\x{1680}'
        '\\x{17B4}-\\x{17B5}\\x{180B}-\\x{180F}\\x{2000}-\\x{200F}'
        '\\x{2028}-\\x{202F}\\x{205F}-\\x{206F}\\x{2800}\\x{3000}\\x{3164}'
        '\\x{E000}-\\x{F8FF}\\x{FDD0}-\\x{FDEF}\\x{FE00}-\\x{FE0F}\\x{FEFF}'
        '\\x{FFA0}\\x{FFF0}-\\x{FFFC}\\x{FFFE}-\\x{FFFF}\\x{110BD}\\x{110CD}'
        '\\x{13430}-\\x{1343F}\\x{16FE4}\\x{1BCA0}-\\x{1BCA3}\\x{1D159}'
        '\\x{1D173}-\\x{1D17A}\\x{1FFFE}-\\x{1FFFF}\\x{2FFFE}-\\x{2FFFF}'
        '\\x{3FFFE}-\\x{3FFFF}\\x{4FFFE}-\\x{4FFFF}\\x{5FFFE}-\\x{5FFFF}'
        '\\x{6FFFE}-\\x{6FFFF}\\x{7FFFE}-\\x{7FFFF}\\x{8FFFE}-\\x{8FFFF}'
        '\\x{9FFFE}-\\x{9FFFF}\\x{AFFFE}-\\x{AFFFF}\\x{BFFFE}-\\x{BFFFF}'
        '\\x{CFFFE}-\\x{CFFFF}\\x{DFFFE}-\\x{E0FFF}\\x{EFFFE}-\\x{10FFFF}]'
        '|^[\\x{300}-\\x{36F}\\x{483}-\\x{489}\\x{1AB0}-\\x{1AFF}'
        '\\x{1DC0}-\\x{1DFF}\\x{20D0}-\\x{20FF}\\x{302A}-\\x{302F}'
        '\\x{3099}-\\x{309A}\\x{FE20}-\\x{FE2F}]'
        '|^[.]{1,2}$|^$')
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;


-- The index of the user search.  Each word of a display name has a row with the
-- name from this word on.

CREATE TABLE chat_user_word (
    word          VARCHAR(60) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_unicode_520_ci NOT NULL,
    user_id       INT UNSIGNED NOT NULL,

    PRIMARY KEY (word, user_id),
    KEY user (user_id),
    CONSTRAINT chat_user_word_user FOREIGN KEY (user_id)
        REFERENCES chat_user (id) ON DELETE CASCADE
) ENGINE=InnoDB;


-- The audit log: what administrators have done.  The names are those of that time.
-- No request changes or deletes a row.  actor: "chatctl" without a user.

CREATE TABLE chat_audit (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    created_at    DATETIME(6) NOT NULL,
    actor         VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    action        VARCHAR(32) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL,
    target        VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,
    detail        VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NULL,
    address       VARCHAR(64) CHARACTER SET ascii
                  COLLATE ascii_bin NULL
) ENGINE=InnoDB;


-- Sessions.  The key is the SHA-256 of the token; the token is not stored.  A
-- user has at most 50: a login deletes those with the lowest ids.
-- last_seen_at: updated by requests, at most every 5 minutes; NULL: never.
-- address, agent: of the login.

CREATE TABLE chat_session (
    token_hash    BINARY(32) NOT NULL PRIMARY KEY,
    user_id       INT UNSIGNED NOT NULL,
    created_at    DATETIME NOT NULL,
    expires_at    DATETIME NOT NULL,
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    last_seen_at  DATETIME NULL,
    address       VARCHAR(64) CHARACTER SET ascii
                  COLLATE ascii_bin NULL,
    agent         VARCHAR(255) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,

    UNIQUE KEY session (id),
    KEY expires (expires_at),
    KEY user (user_id, id),
    CONSTRAINT chat_session_user FOREIGN KEY (user_id)
        REFERENCES chat_user (id) ON DELETE CASCADE
) ENGINE=InnoDB;


-- Messages, ordered by id.  lo_id and hi_id are the pair of users in either
-- direction, so that one index serves a conversation.  client_id is the
-- idempotency key; the module generates one if the client sends none.
--
-- kind 0: a message.  change_id is its latest change, edited_at the time of the
-- latest edit.  sent_hash is the hash of client_id and the first text, which an
-- edit has replaced.
-- kind 1: a change of the message target_id, from its sender to its recipient.
-- kind 2: a deleted message, which keeps its client_id, or a change that is
-- followed by another one.
--
-- files: the files of a message as a JSON array, in which "url" is relative to the
-- API; NULL: none.  Files do not change, so lists need not read chat_file.
--
-- Each list reads one kind of an index, so rows of other kinds cost it nothing.
-- docs/design/changes.md describes the changes.

CREATE TABLE chat_message (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    sender_id     INT UNSIGNED NOT NULL,
    recipient_id  INT UNSIGNED NOT NULL,
    lo_id         INT UNSIGNED
                  GENERATED ALWAYS AS (LEAST(sender_id, recipient_id)) STORED,
    hi_id         INT UNSIGNED
                  GENERATED ALWAYS AS (GREATEST(sender_id, recipient_id))
                  STORED,
    created_at    DATETIME(6) NOT NULL,
    client_id     VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    body          MEDIUMTEXT CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    kind          TINYINT UNSIGNED NOT NULL DEFAULT 0,
    target_id     BIGINT UNSIGNED NULL,
    change_id     BIGINT UNSIGNED NULL,
    reply_to      BIGINT UNSIGNED NULL,
    edited_at     DATETIME(6) NULL,
    sent_hash     BINARY(32) NULL,
    files         TEXT CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,

    UNIQUE KEY client_id (sender_id, client_id),
    KEY pair (lo_id, hi_id, kind, id),
    KEY sent (sender_id, kind, id),
    KEY received (recipient_id, kind, id),
    CONSTRAINT chat_message_sender FOREIGN KEY (sender_id)
        REFERENCES chat_user (id),
    CONSTRAINT chat_message_recipient FOREIGN KEY (recipient_id)
        REFERENCES chat_user (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;


-- One row per pair of users (lo_id = hi_id: notes to oneself), updated in the
-- transaction of the message.  Counts, inboxes and unread counts need no
-- access to the history.  message_count + 2 * deleted_count changes with each
-- message and each deletion.
--
-- blocks: 1 if the user lo_id has blocked hi_id, 2 if hi_id has blocked lo_id, or
-- their sum.  A send updates the row, so it rejects blocked messages without
-- another access.  chat_block has the same blocks, by user.
--
-- An inbox is found by blocks of 65,536 message ids, latest first, and sorted
-- by last_message_id.  An index on last_message_id itself would change with
-- each message.

CREATE TABLE chat_conversation (
    lo_id            INT UNSIGNED NOT NULL,
    hi_id            INT UNSIGNED NOT NULL,
    message_count    BIGINT UNSIGNED NOT NULL DEFAULT 0,
    last_message_id  BIGINT UNSIGNED NOT NULL DEFAULT 0,
    last_block       BIGINT UNSIGNED
                     GENERATED ALWAYS AS (last_message_id >> 16) STORED,
    lo_read_id       BIGINT UNSIGNED NOT NULL DEFAULT 0,
    hi_read_id       BIGINT UNSIGNED NOT NULL DEFAULT 0,
    lo_unread        INT UNSIGNED NOT NULL DEFAULT 0,
    hi_unread        INT UNSIGNED NOT NULL DEFAULT 0,
    deleted_count    BIGINT UNSIGNED NOT NULL DEFAULT 0,
    blocks           TINYINT UNSIGNED NOT NULL DEFAULT 0,

    PRIMARY KEY (lo_id, hi_id),
    KEY lo_inbox (lo_id, last_block),
    KEY hi_inbox (hi_id, last_block),
    CONSTRAINT chat_conversation_lo FOREIGN KEY (lo_id)
        REFERENCES chat_user (id),
    CONSTRAINT chat_conversation_hi FOREIGN KEY (hi_id)
        REFERENCES chat_user (id)
) ENGINE=InnoDB;


-- Users that a user has blocked.  Each row has a bit in chat_conversation.blocks;
-- the transaction that changes one of them changes the other.

CREATE TABLE chat_block (
    blocker_id    INT UNSIGNED NOT NULL,
    blocked_id    INT UNSIGNED NOT NULL,
    since         DATETIME(6) NOT NULL,

    PRIMARY KEY (blocker_id, blocked_id),
    KEY blocked (blocked_id),
    CONSTRAINT chat_block_blocker FOREIGN KEY (blocker_id)
        REFERENCES chat_user (id) ON DELETE CASCADE,
    CONSTRAINT chat_block_blocked FOREIGN KEY (blocked_id)
        REFERENCES chat_user (id) ON DELETE CASCADE
) ENGINE=InnoDB;


-- Uploaded files.  The contents are below the directory of "chat_files"; the token
-- is the name.
--
-- state 0: not sent.  state 1: sent with message_id.  state 2: the message is
-- deleted, and the contents must be removed.  state 3: they are removed; for a
-- day after the upload, the row still counts in the quota of the owner.

CREATE TABLE chat_file (
    token         CHAR(32) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL PRIMARY KEY,
    owner_id      INT UNSIGNED NULL,
    state         TINYINT UNSIGNED NOT NULL DEFAULT 0,
    message_id    BIGINT UNSIGNED NULL,
    created_at    DATETIME(6) NOT NULL,
    size          BIGINT UNSIGNED NOT NULL,
    type          VARCHAR(127) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL,
    name          VARCHAR(255) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    width         INT UNSIGNED NULL,
    height        INT UNSIGNED NULL,

    KEY owner (owner_id, created_at, size),
    KEY message (message_id),
    KEY state (state, created_at),
    CONSTRAINT chat_file_owner FOREIGN KEY (owner_id)
        REFERENCES chat_user (id) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;


-- Transactions that store messages or changes.  Each changes the row of its slot, at
-- least "turn", before it takes message ids.  floor_id is at or below the
-- first id.  A row that reads differently under READ UNCOMMITTED than under
-- READ COMMITTED therefore belongs to a transaction in progress.  "after="
-- returns no cursor at or above the lowest floor of these, and never skips a
-- late commit (docs/design/cursor.md).  Each connection of the module has a
-- slot of its own, except where the server grants no locks by GET_LOCK():
-- connections that share a slot wait for each other.

CREATE TABLE chat_writing (
    slot             INT UNSIGNED NOT NULL PRIMARY KEY,
    turn             BIGINT UNSIGNED NOT NULL DEFAULT 0,
    floor_id         BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;
