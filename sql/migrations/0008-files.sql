-- Version 8: messages have files.  The site may be in use: the column is added at
-- once, without a copy of the table.

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

ALTER TABLE chat_message
    ADD COLUMN files TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL;

-- Statements for version 7 that would show messages without their files name the
-- former index.  They fail from here on, and the module repeats them in their new
-- form.

ALTER TABLE chat_session RENAME INDEX id TO session;
