-- Replaces the words of the users in the temporary table chat_named (id), in a
-- transaction of the caller that has changed their names.
-- ngx_chat_query_profile.c has the same statement for one user.

DELETE w FROM chat_named AS t STRAIGHT_JOIN chat_user_word AS w
              ON w.user_id = t.id;

SET @separators = CONCAT(' -''".,:_/()[]{}<>|&+*#@!?=~', _utf8mb4
    x'c2a0c2abc2bbe28090e28091e28093e28094e28098e28099e2809ce2809de2809e',
    _utf8mb4 x'e280a2e280a6e38080e383bb') COLLATE utf8mb4_bin;

INSERT IGNORE INTO chat_user_word (word, user_id)
WITH RECURSIVE n AS
    (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 100)
SELECT SUBSTRING(u.display_name, n.n, 60), u.id
FROM chat_named AS t
STRAIGHT_JOIN chat_user AS u ON u.id = t.id
JOIN n ON n.n <= CHAR_LENGTH(u.display_name)
WHERE (n.n = 1
       OR LOCATE(SUBSTRING(u.display_name, n.n - 1, 1), @separators) > 0)
  AND LOCATE(SUBSTRING(u.display_name, n.n, 1), @separators) = 0;
