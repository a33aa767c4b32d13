-- The least rights the module needs.  Put the name of your database for "chat"
-- and the account you use for 'chat'@'localhost'.  "chatctl" wants more: run
-- it as the owner of the database.

GRANT SELECT ON chat.chat_schema TO 'chat'@'localhost';
GRANT SELECT, UPDATE (password, last_seen_at) ON chat.chat_user
    TO 'chat'@'localhost';
GRANT SELECT, INSERT, DELETE ON chat.chat_session TO 'chat'@'localhost';
GRANT SELECT, INSERT ON chat.chat_message TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE ON chat.chat_conversation TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE ON chat.chat_writing TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE ON chat.chat_epoch TO 'chat'@'localhost';
