-- The members of the site that "chatctl user sync" has read: the statements that
-- follow insert them, and sync-end.sql compares them with the users.  A column
-- whose flag is not set is not compared.

CREATE TEMPORARY TABLE chat_sync (
    username      VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NOT NULL,
    username_key  VARCHAR(150) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin
                  GENERATED ALWAYS AS (LOWER(username)) STORED,
    display_name  VARCHAR(100) CHARACTER SET utf8mb4
                  COLLATE utf8mb4_bin NULL,
    avatar_url    VARCHAR(255) CHARACTER SET ascii
                  COLLATE ascii_bin NULL,
    is_active     BOOLEAN NOT NULL,
    has_name      BOOLEAN NOT NULL,
    has_avatar    BOOLEAN NOT NULL,
    has_active    BOOLEAN NOT NULL,

    UNIQUE KEY name (username_key)
) ENGINE=InnoDB;
