-- Version 9: display names and avatars of members, and the audit log.  The site may be in use: the
-- columns are added at once, without a copy of the table.

CREATE TABLE chat_user_word (
    word          VARCHAR(60) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_unicode_520_ci NOT NULL,
    user_id       INT UNSIGNED NOT NULL,

    PRIMARY KEY (word, user_id),
    KEY user (user_id),
    CONSTRAINT chat_user_word_user FOREIGN KEY (user_id)
        REFERENCES chat_user (id) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE chat_audit (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    created_at    DATETIME(6) NOT NULL,
    actor         VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    action        VARCHAR(32) CHARACTER SET ascii
                  COLLATE ascii_bin NOT NULL,
    target        VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,
    detail        VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NULL,
    address       VARCHAR(64) CHARACTER SET ascii
                  COLLATE ascii_bin NULL
) ENGINE=InnoDB;

ALTER TABLE chat_user
    ADD COLUMN display_name VARCHAR(100) CHARACTER SET utf8mb4
               COLLATE utf8mb4_bin NULL,
    ADD COLUMN avatar_url VARCHAR(255) CHARACTER SET ascii
               COLLATE ascii_bin NULL;

-- Statements for earlier versions name the former index.  They fail from here on,
-- and the module repeats them in their new form.

ALTER TABLE chat_user RENAME INDEX username_key TO name;
