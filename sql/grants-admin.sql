-- The additional rights that the administration in the browser needs.  Replace
-- "chat" and 'chat'@'localhost' as in grants.sql.  With these rights, a fault of
-- the module could make a user an administrator.

GRANT UPDATE (is_active, is_admin) ON chat.chat_user TO 'chat'@'localhost';
GRANT SELECT, INSERT ON chat.chat_audit TO 'chat'@'localhost';
