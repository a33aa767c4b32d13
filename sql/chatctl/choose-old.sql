INSERT INTO chat_gone
    SELECT id, lo_id, hi_id, recipient_id, kind FROM chat_message
    WHERE id > @last AND id <= @upto
      AND created_at < CAST(@before AS DATETIME) FOR UPDATE;
