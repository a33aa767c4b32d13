-- The id of the user @name, whose other Unicode forms are @nfc and @nfd.

SELECT id FROM chat_user
WHERE username_key IN (LOWER(@name), LOWER(@nfc), LOWER(@nfd))
ORDER BY FIELD(username_key, LOWER(@name), LOWER(@nfc), LOWER(@nfd)) LIMIT 1;
