-- All users, and as the last row their number.

START TRANSACTION WITH CONSISTENT SNAPSHOT;

SELECT username, IF(is_admin, 'admin', 'user'),
       IF(is_active, 'active', 'disabled'),
       DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%sZ'),
       IFNULL(DATE_FORMAT(last_seen_at, '%Y-%m-%dT%H:%i:%sZ'), '-')
FROM chat_user ORDER BY username_key;

SELECT COUNT(*) FROM chat_user;
COMMIT;
