-- From the tables of a Django app into those of ngx_chat, for "chatctl
-- import-django", which puts the name of the other database for "django".
-- Ids, times (UTC there and here), order and passwords stay as they are;
-- everything counts as read.

START TRANSACTION;

INSERT INTO chat_user (id, username, password, is_admin, is_active,
                       created_at, last_seen_at)
    SELECT id, username, IF(password LIKE 'pbkdf2\_sha256$%', password, '!'),
           is_superuser, is_active, date_joined, last_login
    FROM django.auth_user
    ORDER BY id;

INSERT INTO chat_message (id, sender_id, recipient_id, created_at, body)
    SELECT id, user_id, recipient_id, timestamp, body
    FROM django.core_messagemodel
    ORDER BY id;

INSERT INTO chat_conversation (lo_id, hi_id, message_count, last_message_id,
                               lo_read_id, hi_read_id)
    SELECT lo_id, hi_id, COUNT(*), MAX(id), MAX(id), MAX(id)
    FROM chat_message
    GROUP BY lo_id, hi_id;

COMMIT;
