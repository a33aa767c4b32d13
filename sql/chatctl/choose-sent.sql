INSERT INTO chat_gone
    SELECT id, lo_id, hi_id, recipient_id, kind FROM chat_message
    WHERE sender_id = @id ORDER BY kind, id LIMIT 500 FOR UPDATE;
