
-- The order of locks is that of the module's sends: messages, then conversations
-- by key.  The changes of the counters are computed when the conversations are
-- locked.

INSERT INTO chat_touched SELECT DISTINCT lo_id, hi_id FROM chat_gone;

DELETE m FROM chat_gone AS g STRAIGHT_JOIN chat_message AS m ON m.id = g.id;

SET @deleted = ROW_COUNT();

-- the module removes the contents of their files

UPDATE chat_gone AS g STRAIGHT_JOIN chat_file AS f ON f.message_id = g.id
SET f.state = 2, f.name = '' WHERE f.state = 1;

-- fails, since the inner query returns two rows, unless all rows were deleted

DO (SELECT 1 FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two
    WHERE NOT COALESCE(@deleted = (SELECT COUNT(*) FROM chat_gone), FALSE));

SELECT COUNT(c.message_count) INTO @locked
FROM chat_touched AS t STRAIGHT_JOIN chat_conversation AS c
     ON c.lo_id = t.lo_id AND c.hi_id = t.hi_id
FOR UPDATE;

UPDATE chat_conversation AS c
JOIN (SELECT g.lo_id, g.hi_id, SUM(g.kind = 0) AS n,
             SUM(g.kind = 0 AND g.recipient_id = g.lo_id
                 AND g.id > k.lo_read_id) AS lo,
             SUM(g.kind = 0 AND g.recipient_id = g.hi_id
                 AND g.id > k.hi_read_id) AS hi
      FROM chat_gone AS g JOIN chat_conversation AS k
           ON k.lo_id = g.lo_id AND k.hi_id = g.hi_id
      GROUP BY g.lo_id, g.hi_id) AS d
     ON d.lo_id = c.lo_id AND d.hi_id = c.hi_id
SET c.message_count = c.message_count - LEAST(c.message_count, d.n),
    c.deleted_count = c.deleted_count + d.n,
    c.lo_unread = c.lo_unread - LEAST(c.lo_unread, d.lo),
    c.hi_unread = c.hi_unread - LEAST(c.hi_unread, d.hi),
    c.last_message_id = COALESCE((SELECT MAX(m.id) FROM chat_message AS m
                                  WHERE m.lo_id = c.lo_id
                                    AND m.hi_id = c.hi_id
                                    AND m.kind = 0), 0);

DELETE c FROM chat_touched AS t STRAIGHT_JOIN chat_conversation AS c
              ON c.lo_id = t.lo_id AND c.hi_id = t.hi_id
WHERE c.last_message_id = 0 AND c.blocks = 0;

SET @emptied = ROW_COUNT();
COMMIT;

SELECT CONCAT('deleted ', COUNT(*), ' ', COALESCE(SUM(kind = 0), 0), ' ',
              @emptied, ' ', COALESCE(MAX(id), 0))
FROM chat_gone;

-- a pause as long as the step, for replicas and other requests

DO SLEEP(LEAST(TIMESTAMPDIFF(MICROSECOND, @begun, SYSDATE(6)) / 1000000, 5));
