-- Deletes the ended sessions of the user @id and returns their number.

DELETE FROM chat_session WHERE user_id = @id AND id <=
       (SELECT session_floor FROM chat_user WHERE id = @id);

SELECT ROW_COUNT();
