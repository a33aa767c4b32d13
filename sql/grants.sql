-- The rights that the module needs.  Replace "chat" with the name of your
-- database, and 'chat'@'localhost' with your account.  "chatctl" needs more
-- rights: run it as the owner of the database.

GRANT SELECT ON chat.chat_schema TO 'chat'@'localhost';
GRANT SELECT, UPDATE (password, last_seen_at, session_floor, display_name,
    avatar_url) ON chat.chat_user TO 'chat'@'localhost';
GRANT SELECT, INSERT, DELETE ON chat.chat_user_word TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE (last_seen_at), DELETE ON chat.chat_session
    TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE (body, kind, change_id, reply_to, edited_at,
    sent_hash, files) ON chat.chat_message TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE ON chat.chat_conversation TO 'chat'@'localhost';
GRANT SELECT, INSERT, DELETE ON chat.chat_block TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE (state, message_id, name), DELETE
    ON chat.chat_file TO 'chat'@'localhost';
GRANT SELECT, INSERT, UPDATE ON chat.chat_writing TO 'chat'@'localhost';
