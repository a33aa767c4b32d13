-- The data of the user @id, from one snapshot.  NULL is an empty field.  The last
-- row has the numbers of the others, from other queries.

SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
SET @format = '%Y-%m-%dT%H:%i:%s.%fZ';
START TRANSACTION WITH CONSISTENT SNAPSHOT;

SELECT 'account', id, username, is_admin, is_active,
       DATE_FORMAT(created_at, @format),
       IFNULL(DATE_FORMAT(last_seen_at, @format), ''),
       IFNULL(display_name, ''), IFNULL(avatar_url, '')
FROM chat_user WHERE id = @id;

SELECT 'sessions', DATE_FORMAT(created_at, @format),
       DATE_FORMAT(expires_at, @format),
       IFNULL(DATE_FORMAT(last_seen_at, @format), ''),
       IFNULL(address, ''), IFNULL(agent, '')
FROM chat_session WHERE user_id = @id ORDER BY created_at;

SELECT 'conversations', u.username, c.message_count, c.last_message_id,
       IF(c.lo_id = @id, c.lo_unread, c.hi_unread),
       IF(c.lo_id = @id, c.lo_read_id, c.hi_read_id),
       IF(c.lo_id = @id, c.hi_read_id, c.lo_read_id)
FROM (SELECT chat_conversation.*, hi_id AS peer_id
      FROM chat_conversation WHERE lo_id = @id
      UNION ALL
      SELECT chat_conversation.*, lo_id
      FROM chat_conversation WHERE hi_id = @id AND lo_id <> @id) AS c
JOIN chat_user AS u ON u.id = c.peer_id
ORDER BY c.last_message_id DESC;

SELECT 'blocks', u.username, DATE_FORMAT(b.since, @format)
FROM chat_block AS b JOIN chat_user AS u ON u.id = b.blocked_id
WHERE b.blocker_id = @id ORDER BY b.since;

SELECT STRAIGHT_JOIN 'messages', m.id, s.username, r.username,
       DATE_FORMAT(m.created_at, @format),
       IF(m.sender_id = @id, IFNULL(m.client_id, ''), ''), m.body,
       IFNULL(m.reply_to, ''), IFNULL(DATE_FORMAT(m.edited_at, @format), ''),
       IFNULL(m.files, '')
FROM (SELECT id FROM chat_message WHERE sender_id = @id AND kind = 0
      UNION
      SELECT id FROM chat_message WHERE recipient_id = @id AND kind = 0) AS ids
JOIN chat_message AS m ON m.id = ids.id
JOIN chat_user AS s ON s.id = m.sender_id
JOIN chat_user AS r ON r.id = m.recipient_id
ORDER BY ids.id;

SELECT 'files', token, name, type, size, DATE_FORMAT(created_at, @format),
       IFNULL(message_id, '')
FROM chat_file WHERE owner_id = @id AND state < 2 ORDER BY created_at;

SELECT 'end', (SELECT COUNT(*) FROM chat_user WHERE id = @id),
       (SELECT COUNT(*) FROM chat_session WHERE user_id = @id),
       (SELECT COUNT(*) FROM chat_conversation WHERE lo_id = @id)
       + (SELECT COUNT(*) FROM chat_conversation
          WHERE hi_id = @id AND lo_id <> @id),
       (SELECT COUNT(*) FROM chat_block WHERE blocker_id = @id),
       (SELECT COUNT(*) FROM chat_message WHERE sender_id = @id AND kind = 0)
       + (SELECT COUNT(*) FROM chat_message
          WHERE recipient_id = @id AND sender_id <> @id AND kind = 0),
       (SELECT COUNT(*) FROM chat_file WHERE owner_id = @id AND state < 2);
COMMIT;
