-- Version 5: users list and end their sessions.

ALTER TABLE chat_session
    ADD COLUMN last_seen_at DATETIME NULL,
    ADD COLUMN address VARCHAR(64) CHARACTER SET ascii
        COLLATE ascii_bin NULL,
    ADD COLUMN agent VARCHAR(255) CHARACTER SET utf8mb4
        COLLATE utf8mb4_bin NULL;

UPDATE chat_session SET last_seen_at = created_at;
