-- Deletes about a thousand messages and changes: this file, one of choose-*.sql,
-- which fills chat_gone, and delete-end.sql.

SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET @begun = SYSDATE(6);

CREATE TEMPORARY TABLE chat_gone (
    id            BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    lo_id         INT UNSIGNED NOT NULL,
    hi_id         INT UNSIGNED NOT NULL,
    recipient_id  INT UNSIGNED NOT NULL,
    kind          TINYINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

CREATE TEMPORARY TABLE chat_touched (
    lo_id         INT UNSIGNED NOT NULL,
    hi_id         INT UNSIGNED NOT NULL,
    PRIMARY KEY (lo_id, hi_id)
) ENGINE=InnoDB;

START TRANSACTION;
