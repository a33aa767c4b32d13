-- Version 2: sends change fewer indexes and leave nothing to purge.

ALTER TABLE chat_conversation
    ADD COLUMN last_block BIGINT UNSIGNED
        GENERATED ALWAYS AS (last_message_id >> 16) STORED
        AFTER last_message_id,
    ADD KEY lo_inbox_2 (lo_id, last_block),
    ADD KEY hi_inbox_2 (hi_id, last_block),
    DROP KEY lo_inbox,
    DROP KEY hi_inbox;

ALTER TABLE chat_conversation
    RENAME KEY lo_inbox_2 TO lo_inbox,
    RENAME KEY hi_inbox_2 TO hi_inbox;

DROP TABLE chat_writing;

CREATE TABLE chat_writing (
    slot             INT UNSIGNED NOT NULL PRIMARY KEY,
    turn             BIGINT UNSIGNED NOT NULL DEFAULT 0,
    floor_id         BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;
