-- The last id of the next thousand messages behind @last, and how many of them are
-- older than @before.

SELECT MAX(id), SUM(created_at < CAST(@before AS DATETIME))
FROM (SELECT id, created_at FROM chat_message
      WHERE id > @last ORDER BY id LIMIT 1000) AS m;
