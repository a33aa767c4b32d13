-- Names that differ only in case and Unicode form, with the ids.  chatctl replaces
-- chat_user with the table of a Django app.

SELECT GROUP_CONCAT(u.username, ' (id ', u.id, ')'
                    ORDER BY u.id SEPARATOR ', ')
FROM chat_user AS u LEFT JOIN chat_normal AS n ON n.id = u.id
GROUP BY LOWER(COALESCE(n.username, CONVERT(u.username USING utf8mb4))
               COLLATE utf8mb4_bin)
HAVING COUNT(*) > 1
ORDER BY MIN(u.id);
