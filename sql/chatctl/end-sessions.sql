-- Ends all sessions of the user @id, in a transaction that has locked the row, and
-- commits.  Returns the number of rows of the user.

UPDATE chat_user SET session_floor = COALESCE(
       (SELECT MAX(id) FROM chat_session WHERE user_id = @id), 0)
WHERE id = @id;

SELECT COUNT(*) INTO @found FROM chat_user WHERE id = @id;
COMMIT;

SELECT @found;
