-- Version 6: messages are edited and deleted, and reply to others.  The site may
-- be in use: new columns are added at once, without a copy of the table.

ALTER TABLE chat_message
    ADD COLUMN kind TINYINT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN target_id BIGINT UNSIGNED NULL,
    ADD COLUMN change_id BIGINT UNSIGNED NULL,
    ADD COLUMN reply_to BIGINT UNSIGNED NULL,
    ADD COLUMN edited_at DATETIME(6) NULL,
    ADD COLUMN sent_hash BINARY(32) NULL;

ALTER TABLE chat_conversation
    ADD COLUMN deleted_count BIGINT UNSIGNED NOT NULL DEFAULT 0;

-- Statements for version 5 name the former indexes.  They fail from here on,
-- and the module repeats them in their new form.  LOCK=NONE makes this statement
-- fail rather than block sends while it reads the table.

ALTER TABLE chat_message
    ADD KEY pair (lo_id, hi_id, kind, id),
    ADD KEY sent (sender_id, kind, id),
    ADD KEY received (recipient_id, kind, id),
    DROP KEY conversation,
    DROP KEY sender,
    DROP KEY recipient,
    LOCK=NONE;

-- Epochs of nginx hosts are no longer used.  Workers of earlier versions with
-- "chat_hosts on" log errors until they are restarted.

DROP TABLE chat_epoch;
