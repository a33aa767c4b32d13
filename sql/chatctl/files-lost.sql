-- The number of files of messages that do not exist.

SELECT COUNT(*) FROM chat_file AS f
WHERE f.state = 1 AND NOT EXISTS (
      SELECT 1 FROM chat_message AS m
      WHERE m.id = f.message_id AND m.kind = 0);
