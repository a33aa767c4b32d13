-- Version 3: epochs of nginx hosts.

CREATE TABLE chat_epoch (
    epoch            INT UNSIGNED NOT NULL PRIMARY KEY,
    seen_at          DATETIME NOT NULL
) ENGINE=InnoDB;
