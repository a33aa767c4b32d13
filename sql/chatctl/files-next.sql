-- The next tokens behind @last whose files must exist.  Files of the last minutes
-- may have been removed with their message meanwhile.

SELECT token FROM chat_file
WHERE token > CONVERT(@last USING ascii) AND state < 2 ORDER BY token LIMIT 500;
