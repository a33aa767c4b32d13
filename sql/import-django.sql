-- Copies the tables of a Django app into those of ngx_chat, for "chatctl
-- import-django", which replaces "django" with the name of the database.  Ids,
-- times (UTC in both), order and passwords remain; all messages are marked as
-- read.  The temporary table chat_normal contains the names that are not in NFC or
-- break the rule for new names.

START TRANSACTION;

INSERT INTO chat_user (id, username, name_unchecked, password, is_admin,
                       is_active, created_at, last_seen_at)
    SELECT u.id, COALESCE(n.kept, u.username), COALESCE(n.unchecked, FALSE),
           IF(u.password LIKE 'pbkdf2\_sha256$%', u.password, '!'),
           u.is_superuser, u.is_active, u.date_joined, u.last_login
    FROM django.auth_user AS u LEFT JOIN chat_normal AS n ON n.id = u.id
    ORDER BY u.id;

INSERT INTO chat_message (id, sender_id, recipient_id, created_at, body)
    SELECT id, user_id, recipient_id, timestamp, body
    FROM django.core_messagemodel
    ORDER BY id;

INSERT INTO chat_conversation (lo_id, hi_id, message_count, last_message_id,
                               lo_read_id, hi_read_id)
    SELECT lo_id, hi_id, COUNT(*), MAX(id), MAX(id), MAX(id)
    FROM chat_message
    GROUP BY lo_id, hi_id;

-- Each DO fails, since the inner query returns two rows, unless everything was
-- copied.

DO (SELECT 1 FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two
    WHERE (SELECT COUNT(*) FROM chat_user)
          <> (SELECT COUNT(*) FROM django.auth_user));

DO (SELECT 1 FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two
    WHERE (SELECT COUNT(*) FROM chat_message)
          <> (SELECT COUNT(*) FROM django.core_messagemodel));

DO (SELECT 1 FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two
    WHERE (SELECT COALESCE(SUM(message_count), 0) FROM chat_conversation)
          <> (SELECT COUNT(*) FROM chat_message));

SELECT COUNT(*) FROM chat_user;
SELECT COUNT(*) FROM chat_message;
SELECT COUNT(*) FROM chat_conversation;

COMMIT;
