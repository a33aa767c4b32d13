-- Deletes the user @id, or renames the row to @name if messages from other users
-- need it.  Returns "left", without a change, if messages exist that must be
-- deleted before: those from the user, and with @received those to the user.

SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
START TRANSACTION;

SELECT id INTO @locked FROM chat_user WHERE id = @id FOR UPDATE;
SELECT EXISTS (SELECT 1 FROM chat_message WHERE sender_id = @id) INTO @sent;
SELECT EXISTS (SELECT 1 FROM chat_message WHERE recipient_id = @id) INTO @kept;
SET @left = @sent OR (@received AND @kept);

DELETE FROM chat_session WHERE user_id = @id AND NOT @left;
DELETE FROM chat_user_word WHERE user_id = @id AND NOT @left;
DELETE FROM chat_block
WHERE (blocker_id = @id OR blocked_id = @id) AND NOT @left;
DELETE FROM chat_conversation
WHERE (lo_id = @id OR hi_id = @id) AND NOT @left AND NOT EXISTS (
      SELECT 1 FROM chat_message AS m
      WHERE m.lo_id = chat_conversation.lo_id
        AND m.hi_id = chat_conversation.hi_id);

UPDATE chat_conversation SET lo_read_id = 0, lo_unread = 0, blocks = 0
WHERE lo_id = @id AND NOT @left;
UPDATE chat_conversation SET hi_read_id = 0, hi_unread = 0, blocks = 0
WHERE hi_id = @id AND NOT @left;

UPDATE chat_file SET state = 2, name = ''
WHERE owner_id = @id AND state < 2 AND NOT @left;

DELETE FROM chat_user WHERE id = @id AND NOT @left AND NOT @kept;
UPDATE chat_user SET username = @name, password = '!',
                     name_unchecked = FALSE,
                     display_name = NULL, avatar_url = NULL,
                     is_admin = FALSE, is_active = FALSE,
                     created_at = '1970-01-01', last_seen_at = NULL
WHERE id = @id AND NOT @left;

SELECT IF(@left, 'left', 'done');
COMMIT;
