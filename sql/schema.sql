-- The tables of ngx_chat, version 3.  For MariaDB 10.6 or later and MySQL 8.0
-- or later.  "chatctl db init" loads this file into an empty database; later
-- changes come as numbered files in sql/migrations/.
--
-- Only ngx_chat_sql.c and chatctl name these tables and columns.

SET NAMES utf8mb4;


-- One row: the version of the schema.  The module reads it when a worker first
-- connects and refuses to work on another one.

CREATE TABLE chat_schema (
    version       INT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE=InnoDB;

INSERT INTO chat_schema (version) VALUES (3);


-- People.  The name compares without regard to case, but accents count: the
-- generated column holds the lower-cased name, byte for byte, and is unique.
-- password: a crypt(3) string, Django's "pbkdf2_sha256$...", or "!" for none.

CREATE TABLE chat_user (
    id            INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username      VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    username_key  VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin
                  GENERATED ALWAYS AS (LOWER(username)) STORED,
    password      VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL DEFAULT '!',
    is_admin      BOOLEAN NOT NULL DEFAULT FALSE,
    is_active     BOOLEAN NOT NULL DEFAULT TRUE,
    created_at    DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    last_seen_at  DATETIME(6) NULL,

    UNIQUE KEY username_key (username_key)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;


-- Sessions.  The key is the SHA-256 of the token; the token is stored nowhere.

CREATE TABLE chat_session (
    token_hash    BINARY(32) NOT NULL PRIMARY KEY,
    user_id       INT UNSIGNED NOT NULL,
    created_at    DATETIME NOT NULL,
    expires_at    DATETIME NOT NULL,

    KEY expires_at (expires_at),
    CONSTRAINT chat_session_user FOREIGN KEY (user_id)
        REFERENCES chat_user (id) ON DELETE CASCADE
) ENGINE=InnoDB;


-- Messages.  lo_id and hi_id are the pair of people whichever way the message
-- went, so that one index serves a conversation.  client_id makes a repeated
-- send harmless: the module gives every message one.  Order is by id.

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

    UNIQUE KEY client_id (sender_id, client_id),
    KEY conversation (lo_id, hi_id, id),
    KEY sender (sender_id, id),
    KEY recipient (recipient_id, id),
    CONSTRAINT chat_message_sender FOREIGN KEY (sender_id)
        REFERENCES chat_user (id),
    CONSTRAINT chat_message_recipient FOREIGN KEY (recipient_id)
        REFERENCES chat_user (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4;


-- One row a pair of people (lo_id = hi_id: notes to oneself), written in the
-- transaction of the message.  It answers count, inbox and unread figures
-- without a look at the history.
--
-- An inbox is found by blocks of 65,536 message ids, latest first, and sorted
-- by last_message_id: an index on that itself would have to be changed twice
-- by each message.

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

    PRIMARY KEY (lo_id, hi_id),
    KEY lo_inbox (lo_id, last_block),
    KEY hi_inbox (hi_id, last_block),
    CONSTRAINT chat_conversation_lo FOREIGN KEY (lo_id)
        REFERENCES chat_user (id),
    CONSTRAINT chat_conversation_hi FOREIGN KEY (hi_id)
        REFERENCES chat_user (id)
) ENGINE=InnoDB;


-- Transactions that are storing messages.  Each changes the row of its slot,
-- the "turn" in any case, before it takes message ids, and floor_id is at or
-- below the first of them.  So a row that reads otherwise under READ
-- UNCOMMITTED than under READ COMMITTED is one of a transaction under way;
-- "after=" hands out no cursor at or above the lowest floor of these, and so
-- never skips what commits late.  A slot is a connection's, more or less: two
-- that share one wait for each other.

CREATE TABLE chat_writing (
    slot             INT UNSIGNED NOT NULL PRIMARY KEY,
    turn             BIGINT UNSIGNED NOT NULL DEFAULT 0,
    floor_id         BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;


-- Epochs that hosts are in (HACKING.md), but for the first: where there are
-- several, each publishes to the channels of all that were seen lately.

CREATE TABLE chat_epoch (
    epoch            INT UNSIGNED NOT NULL PRIMARY KEY,
    seen_at          DATETIME NOT NULL
) ENGINE=InnoDB;
