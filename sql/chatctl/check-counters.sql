-- The number of conversations whose counters do not match their messages.

SELECT COUNT(*)
FROM (SELECT lo_id, hi_id, COUNT(*) AS messages, MAX(id) AS last
      FROM chat_message WHERE kind = 0 GROUP BY lo_id, hi_id) AS m
LEFT JOIN chat_conversation AS c USING (lo_id, hi_id)
WHERE c.lo_id IS NULL OR c.message_count <> m.messages
   OR c.last_message_id <> m.last;
