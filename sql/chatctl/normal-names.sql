-- The names that break the rule: their NFC, and the name to store.

CREATE TEMPORARY TABLE chat_normal (
    id         INT UNSIGNED NOT NULL PRIMARY KEY,
    username   VARCHAR(600) CHARACTER SET utf8mb4
               COLLATE utf8mb4_bin NOT NULL,
    kept       VARCHAR(150) CHARACTER SET utf8mb4
               COLLATE utf8mb4_bin NOT NULL,
    unchecked  BOOLEAN NOT NULL
) ENGINE=InnoDB;
