-- A user other than @id whose name has the NFC @name.

SELECT id FROM chat_normal
WHERE LOWER(username) = LOWER(@name) AND id <> @id LIMIT 1;
