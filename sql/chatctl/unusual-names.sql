-- Ids and names, in hexadecimal, of users whose name may break the rule.  chatctl
-- replaces chat_user with the table of a Django app.

SELECT id, HEX(name)
FROM (SELECT id, CONVERT(username USING utf8mb4) COLLATE utf8mb4_bin AS name
      FROM chat_user AS u) AS names
WHERE name REGEXP '[^-A-Za-z0-9_.@+]|^[.]|^$' OR CHAR_LENGTH(name) > 150
ORDER BY id;
