-- Version 3: hosts tell each other of their epochs.

CREATE TABLE chat_epoch (
    epoch            INT UNSIGNED NOT NULL PRIMARY KEY,
    seen_at          DATETIME NOT NULL
) ENGINE=InnoDB;
