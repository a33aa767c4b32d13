-- Deletes the rows of @tokens, separated by commas, whose files do not exist.

DELETE FROM chat_file
WHERE state < 2 AND FIND_IN_SET(token, CONVERT(@tokens USING ascii));
