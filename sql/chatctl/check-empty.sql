-- The number of conversations that count messages and have none.

SELECT COUNT(*)
FROM chat_conversation AS c
WHERE message_count > 0 AND NOT EXISTS (
      SELECT 1 FROM chat_message AS m
      WHERE m.lo_id = c.lo_id AND m.hi_id = c.hi_id AND m.kind = 0);
