-- Adds and changes the users in chat_sync.  With @missing, disables the others,
-- except administrators.  Returns the number of users that were added, renamed or
-- given another avatar, enabled, disabled, and unchanged.

CREATE TEMPORARY TABLE chat_named (
    id            INT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE=InnoDB;
CREATE TEMPORARY TABLE chat_disabled (
    id            INT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE=InnoDB;

START TRANSACTION;

SELECT COALESCE(MAX(id), 0) INTO @last FROM chat_user;

INSERT INTO chat_user (username, display_name, avatar_url, is_active)
SELECT s.username, s.display_name, s.avatar_url, s.is_active
FROM chat_sync AS s LEFT JOIN chat_user AS u
     ON u.username_key = s.username_key
WHERE u.id IS NULL;

SET @added = ROW_COUNT();

INSERT INTO chat_disabled
SELECT u.id FROM chat_sync AS s JOIN chat_user AS u
       ON u.username_key = s.username_key
WHERE s.has_active AND NOT s.is_active AND u.is_active;

INSERT INTO chat_disabled
SELECT u.id FROM chat_user AS u LEFT JOIN chat_sync AS s
       ON s.username_key = u.username_key
WHERE @missing AND s.username_key IS NULL AND u.is_active AND NOT u.is_admin;

SELECT COUNT(*) INTO @disabled FROM chat_disabled;
SELECT COUNT(*) INTO @enabled
FROM chat_sync AS s JOIN chat_user AS u ON u.username_key = s.username_key
WHERE s.has_active AND s.is_active AND NOT u.is_active;

INSERT INTO chat_named
SELECT u.id FROM chat_sync AS s JOIN chat_user AS u
       ON u.username_key = s.username_key
WHERE (s.has_name AND NOT s.display_name <=> u.display_name)
   OR (s.has_avatar AND NOT s.avatar_url <=> u.avatar_url);

SET @changed = ROW_COUNT();

UPDATE chat_named AS n STRAIGHT_JOIN chat_user AS u ON u.id = n.id
STRAIGHT_JOIN chat_sync AS s ON s.username_key = u.username_key
SET u.display_name = IF(s.has_name, s.display_name, u.display_name),
    u.avatar_url = IF(s.has_avatar, s.avatar_url, u.avatar_url);

INSERT INTO chat_named SELECT id FROM chat_user WHERE id > @last;

UPDATE chat_sync AS s STRAIGHT_JOIN chat_user AS u
       ON u.username_key = s.username_key
SET u.is_active = TRUE
WHERE s.has_active AND s.is_active AND NOT u.is_active;

UPDATE chat_disabled AS d STRAIGHT_JOIN chat_user AS u ON u.id = d.id
SET u.is_active = FALSE,
    u.session_floor = COALESCE((SELECT MAX(c.id) FROM chat_session AS c
                                WHERE c.user_id = d.id), 0);
