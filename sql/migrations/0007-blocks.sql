-- Version 7: users block others.  The site may be in use: the column is added at
-- once, without a copy of the table.

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

ALTER TABLE chat_conversation
    ADD COLUMN blocks TINYINT UNSIGNED NOT NULL DEFAULT 0;

-- Statements for version 6 that would ignore blocks name the former index.  They
-- fail from here on, and the module repeats them in their new form.

ALTER TABLE chat_session RENAME INDEX expires_at TO expires;
