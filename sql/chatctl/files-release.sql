-- Has the module remove the files of messages that do not exist.

UPDATE chat_file AS f SET f.state = 2, f.name = ''
WHERE f.state = 1 AND NOT EXISTS (
      SELECT 1 FROM chat_message AS m
      WHERE m.id = f.message_id AND m.kind = 0);
