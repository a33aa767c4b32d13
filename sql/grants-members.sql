-- The additional right that "chat_auth $variable create" needs.  Replace "chat"
-- and 'chat'@'localhost' as in grants.sql.  The module can then add users, without
-- a password and without rights.

GRANT INSERT (username, display_name, avatar_url) ON chat.chat_user
    TO 'chat'@'localhost';
